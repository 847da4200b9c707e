/** Collects the state of the cluster when a test fails. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { attempt } from './execute.ts'

const QUESTIONS: readonly (readonly string[])[] = [
  ['get', 'pods', '-A', '-o', 'wide'],
  ['get', 'routes.headgate.dev,backends.headgate.dev,ingresses', '-A'],
  ['get', 'events', '-A', '--sort-by=.lastTimestamp'],
  ['get', 'configmaps', '-A', '-l', 'app.kubernetes.io/name=headgate', '-o', 'yaml'],
]

const LABEL = 'app.kubernetes.io/name=headgate'
const MOST_NAMES = 40

/** @returns the file in which it is; beside the logs of the cluster where that is ours */
export async function takeEvidence(test: string): Promise<string> {
  const state = process.env.HEADGATE_E2E_STATE
  const folder = state === undefined ? mkdtempSync(join(tmpdir(), 'headgate-e2e-failed-')) : join(state, 'logs')
  const file = join(folder, `failed-${test.replaceAll(/[^a-z0-9]+/gi, '-').slice(0, 60)}.txt`)
  const { stdout: places } = await ask(['get', 'pods', '-A', '-l', LABEL, '-o', PATH])
  const logs = places
    .split('\n')
    .filter((line) => line !== '')
    .slice(0, MOST_NAMES)
    .map((line) => ['logs', '-n', ...line.split(' '), '--all-containers', '--tail=500'])
  const parts: string[] = []
  for (const question of [...QUESTIONS, ...logs]) {
    const { stdout, stderr } = await ask(question)
    parts.push(`=== kubectl ${question.join(' ')}\n${stdout}${stderr}\n`)
  }
  writeFileSync(file, parts.join(''))
  return file
}

const PATH = 'jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{"\\n"}{end}'

const ask = (args: readonly string[]) => attempt('kubectl', [...args, '--request-timeout=10s'], { timeout: 20_000 })
