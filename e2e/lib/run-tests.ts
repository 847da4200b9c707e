/**
 * Runs the test files one after the other against the cluster of KUBECONFIG; ends with the figures and one line that
 * counts.
 */
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'
import { takeEvidence } from './evidence.ts'
import { table } from './figures.ts'

/** For all of them together, and for one file. */
const BUDGET_MS = 28 * 60_000
const FILE_MS = 8 * 60_000

const words = process.argv.slice(2)
const folder = fileURLToPath(new URL('../tests', import.meta.url))
const files = globSync('*.test.ts', { cwd: folder })
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .sort()
  .map((file) => join(folder, file))
if (files.length === 0) {
  console.error(`no test file holds ${words.join(' or ')} in its name`)
  process.exit(1)
}

const started = performance.now()
const scratch = mkdtempSync(join(tmpdir(), 'headgate-e2e-'))
const figures = join(scratch, 'figures.jsonl')
writeFileSync(figures, '')
process.env.HEADGATE_E2E_FIGURES = figures

const counts = { passed: 0, failed: 0, skipped: 0 }
const stream = run({ files, concurrency: 1, timeout: FILE_MS, signal: AbortSignal.timeout(BUDGET_MS) })
stream.on('test:summary', ({ file, counts: all }) => {
  if (file !== undefined) return
  const skipped = all.skipped + all.todo
  counts.passed += all.passed
  counts.skipped += skipped
  // Cancelled ones and files that could not even be loaded are failures too.
  counts.failed += all.tests - all.passed - skipped
})
const evidence: Promise<string>[] = []
stream.on('test:fail', ({ name, details }) => {
  if (details.type !== 'suite') evidence.push(takeEvidence(name).catch((error) => `none: ${error.message}`))
})
const report = stream.compose(spec())
report.pipe(process.stdout, { end: false })
await finished(report)

const seconds = ((performance.now() - started) / 1000).toFixed(1)
console.log(`\n${table(figures)}\n`)
rmSync(scratch, { recursive: true })
for (const file of await Promise.all(evidence)) console.log(`what there was when a test failed: ${file}`)
console.log(`tests: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped, ${seconds} s`)
process.exit(counts.failed > 0 || counts.passed === 0 ? 1 : 0)
