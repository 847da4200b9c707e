/**
 * `npm test`: runs every test/**\/*.test.ts, a file a process. `npm test -- routing http/chunk` runs the files whose
 * path holds one of these words. Ends with one plain line that counts them.
 */
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { relative } from 'node:path'
import { finished } from 'node:stream/promises'
import { run } from 'node:test'
import { dot, spec } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { NGINX, provide, REDIS, WRK } from '../bench/lib/programs.ts'

const USAGE =
  'npm test -- [--reporter spec|dot] [--serial] [--durations] [WORD …]   runs the test files whose path holds one of the words'

/** Files at a time: one more than CPUs, since each waits for something now and then; without gateways, two more. */
const AT_ONCE = availableParallelism() + 1
/** Tests that start whole gateways and mostly wait for them, when those without any are done. */
const GATEWAYS = /^test\/(main|feature|attack)\//
/** Tests that need most of a CPU for long, and have wide bounds: two files at a time. */
const HEAVY = /^test\/(main\/threads\.|attack\/(amplified|contents|large-objects)\.)/
/** Tests that measure time or memory, or need every CPU: one file after the other, at the end. */
const ALONE =
  /^test\/((stress|bench|examples)\/|main\/memory\.|feature\/(memory|reload|contents)\.|attack\/(costly-objects|noisy-tenant)\.)/

/** The house rule for the complete run, on two cores that nobody else uses; told where it is exceeded. */
const HOUSE_RULE_S = 600
/** What hangs is ended then: a machine that is busy with other work fails no test by that alone. */
const BUDGET_MS = 900_000
const TEST_MS = 120_000

interface Counts {
  passed: number
  failed: number
  skipped: number
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    reporter: { type: 'string' },
    serial: { type: 'boolean' },
    durations: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
})
if (values.help === true) {
  console.log(USAGE)
  process.exit(0)
}
if (Number.parseInt(process.versions.node, 10) < 26) {
  console.error(`Node ${process.version} is too old: run this through npm, which uses the Node 26 in node_modules`)
  process.exit(1)
}

const started = performance.now()
const files = globSync('test/**/*.test.ts')
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => positionals.length === 0 || positionals.some((word) => file.includes(word)))
  .sort()
if (files.length === 0) {
  console.error(`no test file holds ${positionals.join(' or ')} in its path`)
  process.exit(1)
}
const alone = files.filter((file) => values.serial === true || ALONE.test(file))
const heavy = files.filter((file) => !alone.includes(file) && HEAVY.test(file))
const light = files.filter((file) => !alone.includes(file) && !heavy.includes(file))
const gateways = light.filter((file) => GATEWAYS.test(file))
const others = light.filter((file) => !GATEWAYS.test(file))

const programs = [
  ...(files.some((file) => file.startsWith('test/bench/')) ? [NGINX, WRK] : []),
  // Files that start one are named after it.
  ...(files.some((file) => file.includes('redis')) ? [REDIS] : []),
]
const missing = provide(programs)
if (missing !== undefined) console.error(`${missing}; the tests that need it are skipped`)

// Hundreds of processes import the same modules: their types are stripped once.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('../node_modules/.cache/headgate-tests', import.meta.url))

const abort = new AbortController()
const budget = setTimeout(() => {
  console.error(`the tests did not end within ${BUDGET_MS / 1000} s and are stopped`)
  abort.abort()
}, BUDGET_MS)

const durations: { file: string; seconds: number }[] = []
const total: Counts = { passed: 0, failed: 0, skipped: 0 }
await runFiles(others, AT_ONCE + 1)
await runFiles(gateways, AT_ONCE)
await runFiles(heavy, 2)
await runFiles(alone, 1)
clearTimeout(budget)

if (values.durations === true)
  for (const { file, seconds } of durations.sort((a, b) => b.seconds - a.seconds))
    console.log(`${seconds.toFixed(1).padStart(7)} s  ${file}`)
const seconds = ((performance.now() - started) / 1000).toFixed(1)
if (Number(seconds) > HOUSE_RULE_S) console.log(`the tests took longer than ${HOUSE_RULE_S} s`)
console.log(
  `\ntests: ${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped, in ${files.length} files, ${seconds} s`,
)
process.exit(total.failed > 0 || total.passed === 0 || abort.signal.aborted ? 1 : 0)

async function runFiles(paths: readonly string[], concurrency: number): Promise<void> {
  if (paths.length === 0 || abort.signal.aborted) return
  const stream = run({ files: [...paths], concurrency, timeout: TEST_MS, signal: abort.signal })
  stream.on('test:summary', ({ file, counts, duration_ms }) => {
    if (file !== undefined) {
      durations.push({ file: relative(process.cwd(), file), seconds: duration_ms / 1_000 })
      return
    }
    const skipped = counts.skipped + counts.todo
    total.passed += counts.passed
    total.skipped += skipped
    // Cancelled ones and files that could not even be loaded are failures too.
    total.failed += counts.tests - counts.passed - skipped
  })
  const readable = values.reporter === undefined ? process.stdout.isTTY : values.reporter === 'spec'
  const report = readable ? stream.compose(spec()) : stream.compose(dot)
  report.pipe(process.stdout, { end: false })
  await finished(report)
}
