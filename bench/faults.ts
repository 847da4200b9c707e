/**
 * `node bench/faults.ts`: an endpoint of a Backend fails under load, in each way that endpoints do. How long until no
 * request goes there, which requests failed meanwhile, and how long until it serves again once it is well.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { FAULTS } from './lib/fault-process.ts'
import { describeFailures, type FaultRow } from './lib/fault-row.ts'
import { CHECKS, type FaultPlan, runFaults } from './lib/fault-run.ts'
import { type RollingResult, runRolling } from './lib/rolling-run.ts'

const HELP = `node bench/faults.ts [flags]
  --check NAME      passive, active, both or rolling; may be repeated (default: each). With rolling no endpoint fails, but
                    12 are replaced, three at a time, which end before they have left the set
  --fault WORD      only faults with this word in their name, may be repeated: ${FAULTS.join(', ')}
  --endpoints N     of each Backend; one of them fails (default 4)
  --rate N          GETs a second to each Backend (default 100)
  --posts N         POSTs a second to each Backend (default 20)
  --workers N       (default 2)
  --algorithm NAME  (default LeastRequest)
  --lasts MS        how long it fails (default 5000)
  --interval MS     of probes (default 1000)
  --patience MS     timeouts.responseHead (default 1000)
  --ejection MS     baseEjection (default 6000)
  --lag MS          of rolling: from the end of endpoints until they have left the set (default 500)
  --json            one JSON document
Exit code 1 when a GET failed, or an endpoint was taken after its fault was to be found.
`

const { values } = parseArgs({
  options: {
    check: { type: 'string', multiple: true, default: [] },
    fault: { type: 'string', multiple: true, default: [] },
    endpoints: { type: 'string', default: '4' },
    rate: { type: 'string', default: '100' },
    posts: { type: 'string', default: '20' },
    workers: { type: 'string', default: '2' },
    algorithm: { type: 'string', default: 'LeastRequest' },
    lasts: { type: 'string', default: '5000' },
    interval: { type: 'string', default: '1000' },
    patience: { type: 'string', default: '1000' },
    ejection: { type: 'string', default: '6000' },
    lag: { type: 'string', default: '500' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h' },
  },
})
if (values.help === true) {
  process.stdout.write(HELP)
  process.exit(0)
}

const ROLLING = { endpoints: 12, atOnce: 3 }

let failed = false
const report: Record<string, readonly FaultRow[] | RollingResult> = {}
for (const check of CHECKS.filter((one) => values.check.length === 0 || values.check.includes(one))) {
  const scratch = mkdtempSync(join(tmpdir(), 'headgate-faults-'))
  try {
    const rows = await runFaults(planOf(check, scratch))
    report[check] = rows
    if (!values.json) show(check, rows)
    if (rows.some(({ gets, outAfter, backAfter }) => gets.failed > 0 || (outAfter ?? backAfter) === undefined))
      failed = true
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}
if (values.check.length === 0 || values.check.includes('rolling')) await roll()
if (values.json) console.log(JSON.stringify(report, null, 2))
process.exit(failed ? 1 : 0)

async function roll(): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'headgate-faults-'))
  try {
    const { algorithm } = values
    const [workers, lag, rate, posts] = [values.workers, values.lag, values.rate, values.posts].map(Number)
    const plan = { ...ROLLING, scratch, algorithm, workers: workers!, lag: lag!, rate: rate!, posts: posts! }
    const result = await runRolling(plan)
    report.rolling = result
    if (result.gets.failed > 0) failed = true
    if (values.json) return
    console.log(
      `\n${plan.endpoints} endpoints are replaced, ${plan.atOnce} at a time; they end ${lag} ms before they leave the ` +
        `set. ${algorithm}, ${workers} workers, ${rate} GETs and ${posts} POSTs a second, no policies`,
    )
    console.log(`GETs failed: ${describeFailures(result.gets)}; POSTs failed: ${describeFailures(result.posts)}`)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

function planOf(check: FaultPlan['check'], scratch: string): FaultPlan {
  const words = values.fault
  return {
    scratch,
    check,
    faults: FAULTS.filter((fault) => words.length === 0 || words.some((word) => fault.includes(word))),
    endpoints: Number(values.endpoints),
    workers: Number(values.workers),
    rate: Number(values.rate),
    posts: Number(values.posts),
    algorithm: values.algorithm,
    lasts: Number(values.lasts),
    interval: Number(values.interval),
    patience: Number(values.patience),
    ejection: Number(values.ejection),
  }
}

function show(check: FaultPlan['check'], rows: readonly FaultRow[]): void {
  const checks = {
    passive: `passive checks: 5 failures in a row, ejection ${values.ejection} ms`,
    active: `probes every ${values.interval} ms`,
    both: `probes every ${values.interval} ms, and passive checks`,
  }
  console.log(
    `\n${checks[check]}; one of ${values.endpoints} endpoints fails for ${values.lasts} ms, ${values.algorithm}, ` +
      `${values.workers} workers, ${values.rate} GETs and ${values.posts} POSTs a second, ` +
      `responseHead ${values.patience} ms, two retries`,
  )
  console.log('fault          met it   out after  last request   GETs failed         POSTs failed        back after')
  for (const { fault, met, outAfter, lastAfter, gets, posts, backAfter } of rows)
    console.log(
      fault.padEnd(13) +
        String(met).padStart(8) +
        ms(outAfter).padStart(12) +
        ms(lastAfter).padStart(14) +
        `   ${describeFailures(gets)}`.padEnd(23) +
        describeFailures(posts).padEnd(18) +
        ms(backAfter).padStart(12),
    )
}

function ms(time: number | undefined): string {
  return time === undefined ? 'never' : `${time} ms`
}
