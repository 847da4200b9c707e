import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { median, quantile } from '../../bench/lib/compare.ts'
import { allowedCpus, cpuTime } from '../../bench/lib/cpu-time.ts'
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

  it('compares nginx with itself without a failed request', { skip: !measurable }, () => {
    const run = spawnSync(process.execPath, [RUN, '--calibrate', '--quick', '--json', '--scenario', 'chunked'])
    assert.equal(run.status, 0, run.stderr.toString())
    const [comparison] = JSON.parse(run.stdout.toString()).comparisons
    assert.equal(comparison.scenario, 'chunked')
    assert.ok(comparison.subject.requests > 100 && comparison.peer.requests > 100)
    assert.ok(comparison.cpuRatio > 0.3 && comparison.cpuRatio < 3, `nginx costs ${comparison.cpuRatio} times itself`)
  })
})
