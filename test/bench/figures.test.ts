import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { median, quantile } from '../../bench/lib/compare.ts'
import { allowedCpus, cpuTime } from '../../bench/lib/cpu-time.ts'
import { describeFailures, faultRow } from '../../bench/lib/fault-row.ts'
import { parseSummary } from '../../bench/lib/h2-load.ts'
import { openLoad, schedule, summarize } from '../../bench/lib/open-loop.ts'
import { find, provide } from '../../bench/lib/programs.ts'

const RUN = new URL('../../bench/run.ts', import.meta.url).pathname
const measurable = process.platform === 'linux' && ['nginx', 'wrk', 'taskset'].every((name) => find(name) !== undefined)

describe('the figures of a bench', () => {
  it('takes the middle, and the nearest rank for the rest', () => {
    assert.equal(median([3, 1, 2]), 2)
    assert.equal(median([4, 1, 2, 3]), 2.5)
    const hundred = Array.from({ length: 100 }, (_, index) => index + 1)
    assert.deepEqual([quantile(hundred, 0.99), quantile(hundred, 1), quantile(hundred, 0)], [99, 100, 1])
    assert.ok(Number.isNaN(median([])))
  })

  it('counts the processor time of children too', { skip: process.platform !== 'linux' }, async () => {
    const burn = "while (process.cpuUsage().user < 200_000); console.log('done'); setTimeout(() => {}, 60_000)"
    const shell = spawn('sh', ['-c', `${process.execPath} -e "${burn}" & wait`], {
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
    })
    await once(shell.stdout, 'data')
    const used = cpuTime(shell.pid!)
    process.kill(-shell.pid!, 'SIGKILL')
    assert.ok(used > 100_000 && used < 30_000_000, `${used} µs`)
  })

  it('knows at least one CPU to run on', { skip: process.platform !== 'linux' }, () => {
    assert.ok(allowedCpus().length >= 1 && allowedCpus().every(Number.isInteger))
  })

  it('names a program that is missing, and the package that brings it', { skip: process.getuid?.() === 0 }, () => {
    const missing = provide([{ command: 'no-such-program', debianPackage: 'no-such-package' }])
    assert.equal(missing, 'missing: no-such-program (on Debian: apt-get install no-such-package)')
  })

  it('sends at a fixed rate as strangers do, the same each time', () => {
    const times = schedule(6_000, 60_000)
    assert.deepEqual(schedule(6_000, 60_000), times)
    assert.ok(Math.abs(times.at(-1)! - 10_000) < 200, `60,000 requests in ${times.at(-1)} ms`)
    const gaps = times.map((time, index) => time - (times[index - 1] ?? 0))
    assert.ok(gaps.every((gap) => gap >= 0))
    // Of an exponential distribution: a share of 1 / e is longer than the mean.
    const long = gaps.filter((gap) => gap > 1 / 6).length / gaps.length
    assert.ok(Math.abs(long - 1 / Math.E) < 0.02, `${long}`)
  })

  it('takes the tail of latencies by nearest rank', () => {
    const times = Float64Array.from({ length: 1_000 }, (_, index) => 1_000 - index)
    assert.deepEqual(summarize(times), { p50: 500, p99: 990, p999: 999, most: 1_000 })
    assert.ok(Number.isNaN(summarize(new Float64Array(0)).most))
  })

  it('tells of a fault what met it and what failed, while it lasted', () => {
    const outcome = (at: number, status: number, method: 'GET' | 'POST' = 'GET') => ({
      ...{ method, at, took: 1, status, servedBy: '' },
    })
    const outcomes = [
      outcome(50, 503),
      outcome(100, 200),
      outcome(150, 502),
      outcome(160, 0, 'POST'),
      outcome(300, 504),
    ]
    const line = (at: number, endpoint: string, attempts: number) => ({
      ...{ time: new Date(at).toISOString(), endpoint, attempts },
    })
    const log = [line(90, 'a:1', 1), line(120, 'b:1', 1), line(130, 'b:1', 2), line(180, 'a:1', 1), line(310, 'a:1', 1)]
    const row = faultRow('refused', { began: 100, ended: 300, out: 185, back: 340 }, outcomes, log, 'a:1')
    assert.deepEqual(row, {
      ...{ fault: 'refused', met: 2, outAfter: 85, lastAfter: 80, backAfter: 40 },
      gets: { failed: 1, of: 2, statuses: { 502: 1 } },
      posts: { failed: 1, of: 1, statuses: { 0: 1 } },
    })
    assert.equal(describeFailures(row.gets), '1 of 2 (1 × 502)')
  })

  it('reads the summary of h2load, where a run of a set time leaves requests under way', () => {
    const summary = `
finished in 1.00s, 23787.00 req/s, 17.01MB/s
requests: 23787 total, 23915 started, 23787 done, 23785 succeeded, 2 failed, 1 errored, 0 timeout
status codes: 23787 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 17.01MB (17837000) total, 1.23MB (1287000) headers (space savings 84.00%), 15.06MB (15792000) data
                     min         max         mean         sd        +/- sd
time for request:      340us     63.15ms      5.07ms      6.10ms    91.23%
`
    const { p99, ...told } = parseSummary(summary)!
    assert.deepEqual(told, { requests: 23_785, perSecond: 23_787, p50: 5.07, failed: 3 })
    assert.ok(Number.isNaN(p99))
    assert.equal(parseSummary('could not connect'), undefined)
  })

  it('counts the time that a stalled server makes requests wait', async () => {
    // Answers at once, but for a stall of 300 ms: one request alone would be late otherwise, and its successors are.
    let asked = 0
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on('data', () => {
        if (++asked === 400) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300)
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
      })
      socket.on('error', () => {})
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    try {
      const load = { port, path: '/', host: 'a.example', seconds: 1, connections: 4, rate: 400 }
      const { requests, failed, latency } = await openLoad(undefined, load)
      assert.deepEqual({ requests, failed }, { requests: 600, failed: 0 })
      // A client that waits for each answer would have seen four slow ones of 400: less than one in a hundred.
      assert.ok(latency.most >= 290 && latency.p99 >= 200, JSON.stringify(latency))
    } finally {
      for (const socket of sockets) socket.destroy()
      server.close()
    }
  })

  it('asks at a fixed rate without a failed request', { skip: !measurable }, () => {
    const run = spawnSync(process.execPath, [RUN, '--calibrate', '--quick', '--json', '--scenario', 'latency'])
    assert.equal(run.status, 0, run.stderr.toString())
    const { rate, subject, peer, floor } = JSON.parse(run.stdout.toString()).latency
    assert.ok(rate > 100 && rate <= 6_000, `${rate} requests a second`)
    for (const side of [subject, peer, floor]) {
      assert.equal(side.failed, 0)
      assert.ok(0 < side.p50 && side.p50 <= side.p99 && side.p99 <= side.p999 && side.p999 <= side.most)
    }
  })

  it('compares nginx with itself without a failed request', { skip: !measurable }, () => {
    const run = spawnSync(process.execPath, [RUN, '--calibrate', '--quick', '--json', '--scenario', 'chunked'])
    assert.equal(run.status, 0, run.stderr.toString())
    const [comparison] = JSON.parse(run.stdout.toString()).comparisons
    assert.equal(comparison.scenario, 'chunked')
    const [subject, peer] = comparison.figures
    const [{ cpu }] = comparison.ratios
    assert.ok(subject.requests > 100 && peer.requests > 100)
    assert.ok(cpu > 0.3 && cpu < 3, `nginx costs ${cpu} times itself`)
  })
})
