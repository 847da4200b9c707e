/**
 * `npm test`: runs every test/**\/*.test.ts, a file a process. `npm test -- routing http/chunk` runs the files whose
 * path holds one of these words. Ends with one plain line that counts them.
 */
import { setMaxListeners } from 'node:events'
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, type CpuInfo, cpus, totalmem } from 'node:os'
import { relative } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { type EventData, run } from 'node:test'
import { dot, spec } from 'node:test/reporters'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { NGINX, provide, REDIS, WRK } from '../bench/lib/programs.ts'

const USAGE =
  'npm test -- [--reporter spec|dot] [--serial] [--durations] [--record] [WORD …]   runs the test files whose path holds one of the words'

/** Files at a time, at least: each waits for something now and then. */
const LEAST_AT_ONCE = availableParallelism() + 1
/** … and at most, while they wait so much that processors idle; each may need a gigabyte of memory. */
const MOST_AT_ONCE = Math.max(LEAST_AT_ONCE, Math.min(4 * availableParallelism(), Math.floor(totalmem() / 2 ** 30)))
/** Another file is started when so much of the processors idled between two looks. */
const IDLE = 0.25
const LOOK_MS = 250
/** Tests that bound how long something takes beside an attack that needs every CPU: one after the other, at the end. */
const ALONE = /^test\/(feature\/(cache-files|reload)|attack\/(costly-objects|noisy-tenant)|supervisor\/cpu-wait)\./
/**
 * Seconds that files took, by their path: the longest are started first, and before them what is new and may take long.
 * `npm test -- --record` writes it.
 */
const DURATIONS = new URL('durations.json', import.meta.url)

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
    record: { type: 'boolean' },
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
const NEW = 1_000
const known = JSON.parse(readFileSync(DURATIONS, 'utf8')) as Readonly<Record<string, number>>
const together = files
  .filter((file) => !alone.includes(file))
  .sort((a, b) => (known[b] ?? NEW) - (known[a] ?? NEW) || (a < b ? -1 : 1))

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
setMaxListeners(0, abort.signal)
const budget = setTimeout(() => {
  console.error(`the tests did not end within ${BUDGET_MS / 1000} s and are stopped`)
  abort.abort()
}, BUDGET_MS)

const durations: { file: string; seconds: number }[] = []
const total: Counts = { passed: 0, failed: 0, skipped: 0 }
const readable = values.reporter === undefined ? process.stdout.isTTY : values.reporter === 'spec'
const events = new PassThrough({ objectMode: true })
const report = readable ? events.pipe(new spec()) : Readable.from(dot(events))
report.pipe(process.stdout, { end: false })
await runTogether(together)
for (const file of alone) await runFile(file)
events.end()
await finished(report, { writable: false })
clearTimeout(budget)

if (values.durations === true)
  for (const { file, seconds } of durations.sort((a, b) => b.seconds - a.seconds))
    console.log(`${seconds.toFixed(1).padStart(7)} s  ${file}`)
if (values.record === true) {
  const table = new Map(Object.entries(known).filter(([file]) => existsSync(file)))
  for (const { file, seconds } of durations) table.set(file, Math.round(seconds))
  writeFileSync(DURATIONS, `${JSON.stringify(Object.fromEntries([...table].sort()), null, 2)}\n`)
}
const seconds = ((performance.now() - started) / 1000).toFixed(1)
if (Number(seconds) > HOUSE_RULE_S) console.log(`the tests took longer than ${HOUSE_RULE_S} s`)
console.log(
  `\ntests: ${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped, in ${files.length} files, ${seconds} s`,
)
process.exit(total.failed > 0 || total.passed === 0 || abort.signal.aborted ? 1 : 0)

/** Several at a time: more while processors idle, since files wait for events and times. */
async function runTogether(paths: readonly string[]): Promise<void> {
  const running = new Set<Promise<void>>()
  let last = cpus()
  for (const file of paths) {
    while (running.size >= LEAST_AT_ONCE) {
      const ended = await Promise.race([...running, delay(LOOK_MS, 'looked' as const)])
      if (ended !== 'looked') continue
      const now = cpus()
      const idle = idleShare(last, now)
      last = now
      if (idle > IDLE && running.size < MOST_AT_ONCE) break
    }
    const one: Promise<void> = runFile(file).finally(() => running.delete(one))
    running.add(one)
  }
  await Promise.all(running)
}

/** Of the time of all processors between two looks. */
function idleShare(before: readonly CpuInfo[], after: readonly CpuInfo[]): number {
  const idle = (processors: readonly CpuInfo[]): number => processors.reduce((sum, { times }) => sum + times.idle, 0)
  const all = (processors: readonly CpuInfo[]): number =>
    processors.reduce((sum, { times }) => sum + Object.values(times).reduce((one, time) => one + time, 0), 0)
  return (idle(after) - idle(before)) / Math.max(1, all(after) - all(before))
}

/** One file in a process of its own; what it reports comes in one piece. */
async function runFile(path: string): Promise<void> {
  if (abort.signal.aborted) {
    total.failed++
    return
  }
  const stream = run({ files: [path], timeout: TEST_MS, signal: abort.signal })
  const told: unknown[] = []
  for await (const event of stream) {
    // Counts of a run, of which there are hundreds.
    if (event.type === 'test:diagnostic' && event.data.file === undefined) continue
    if (event.type === 'test:summary') count(event.data)
    else told.push(event)
  }
  for (const event of told) events.write(event)
}

function count({ file, counts, duration_ms }: EventData.TestSummary): void {
  if (file !== undefined) {
    durations.push({ file: relative(process.cwd(), file), seconds: duration_ms / 1_000 })
    return
  }
  const skipped = counts.skipped + counts.todo
  total.passed += counts.passed
  total.skipped += skipped
  // Cancelled ones and files that could not even be loaded are failures too.
  total.failed += counts.tests - counts.passed - skipped
}
