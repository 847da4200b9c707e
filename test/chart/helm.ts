/** Helm where there is one: nothing here downloads or builds it. */
import { execFile, execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { parseAllDocuments } from 'yaml'
import { programsFolder } from '../../e2e/cluster/programs.ts'

export const ROOT = new URL('../../', import.meta.url).pathname
export const CHART = join(ROOT, 'helm/headgate')

/** Where the cluster tests keep what they have built. */
const CACHE = join(programsFolder(), 'bin')

const MAX_OUTPUT = 64 * 2 ** 20

/** By HEADGATE_HELM or HEADGATE_KUBECTL, on the PATH, or built by the cluster tests. */
export function findProgram(name: 'helm' | 'kubectl'): string | undefined {
  const named = process.env[`HEADGATE_${name.toUpperCase()}`]
  const folders = [...(process.env.PATH ?? '').split(delimiter), CACHE]
  const candidates = [...(named ? [named] : []), ...folders.map((folder) => join(folder, name))]
  return candidates.find((path) => existsSync(path) && answers(path, name))
}

/** A link to nothing built yet, or a wrapper that only says what to install, is no Helm. */
function answers(path: string, name: string): boolean {
  try {
    execFileSync(path, name === 'helm' ? ['version'] : ['version', '--client'], { stdio: 'ignore', timeout: 20_000 })
    return true
  } catch {
    return false
  }
}

export const HELM = findProgram('helm')
/** For `describe`: why its tests are skipped. */
export const WITHOUT_HELM =
  HELM === undefined ? 'there is no helm: set HEADGATE_HELM, or run the cluster tests once' : false

export interface KubernetesObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  // biome-ignore lint/suspicious/noExplicitAny: manifests are read field by field, by paths that a test states.
  readonly [field: string]: any
}

export interface Rendering {
  readonly release?: string
  readonly namespace?: string
  readonly values?: unknown
  /**
   * The settings ask for what this version does not have: rendered by the chart as it will be when everything is built.
   */
  readonly unbuilt?: boolean
  /** Folder of the chart. */
  readonly chart?: string
  readonly flags?: readonly string[]
}

const run = promisify(execFile)

export type Outcome = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly message: string }

/** @param input standard input, for `-f -` */
export async function helm(args: readonly string[], input = ''): Promise<Outcome> {
  const promise = run(HELM!, [...args], { maxBuffer: MAX_OUTPUT, timeout: 60_000 })
  promise.child.stdin!.end(input)
  try {
    return { ok: true, text: (await promise).stdout }
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string }
    return { ok: false, message: `${stdout ?? ''}${stderr ?? String(error)}` }
  }
}

let chartToCome: string | undefined

/** The chart without its list of what is not built yet, so that templates are tried before their time. */
function withEverythingBuilt(): string {
  if (chartToCome !== undefined) return chartToCome
  const folder = mkdtempSync(join(tmpdir(), 'headgate-chart-'))
  process.once('exit', () => rmSync(folder, { recursive: true }))
  chartToCome = join(folder, 'headgate')
  cpSync(CHART, chartToCome, { recursive: true })
  writeFileSync(join(chartToCome, 'files/unbuilt.json'), '[]\n')
  return chartToCome
}

/** `helm template`, as text. */
export function template(rendering: Rendering) {
  const { release = 'hg', namespace = 'gateway', values = {}, unbuilt = false, flags = [] } = rendering
  const chart = rendering.chart ?? (unbuilt ? withEverythingBuilt() : CHART)
  return helm(['template', release, chart, '--namespace', namespace, '--values', '-', ...flags], JSON.stringify(values))
}

export async function render(rendering: Rendering): Promise<KubernetesObject[]> {
  const outcome = await template(rendering)
  if (!outcome.ok) throw new Error(outcome.message)
  return objectsOf(outcome.text)
}

/** Of documents seen before: the CRDs are in every rendering, and take half a second to parse. */
const parsed = new Map<string, readonly KubernetesObject[]>()

export function objectsOf(text: string): KubernetesObject[] {
  return text.split(/^---$/m).flatMap((document) => {
    let objects = parsed.get(document)
    if (objects === undefined) parsed.set(document, (objects = parse(document)))
    return structuredClone(objects)
  })
}

function parse(text: string): KubernetesObject[] {
  const objects: KubernetesObject[] = []
  for (const document of parseAllDocuments(text)) {
    if ('errors' in document && document.errors.length > 0) throw document.errors[0]
    const object = 'toJS' in document ? document.toJS() : null
    if (object !== null) objects.push(object as KubernetesObject)
  }
  return objects
}
