/** Threads that lack a CPU beside threads that hang, on a machine whose CPUs are all taken. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism, setPriority } from 'node:os'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { mortal } from '../../bench/lib/mortal.ts'
import { CpuWait } from '../../src/supervisor/cpu-wait.ts'
import { HangDetector } from '../../src/supervisor/hang-detector.ts'
import { eventually } from '../feature/harness.ts'

const INTERVAL = 100
const LOWEST = 19

function reports(): boolean {
  try {
    return Number(readFileSync('/proc/self/schedstat', 'utf8').split(' ', 1)[0]) > 0
  } catch {
    return false
  }
}
const NO_SCHEDSTAT = reports() ? false : 'needs the schedstat of Linux'

/** What a thread does at each interval, beside its heartbeat. */
const WORK = `
const { workerData } = require('node:worker_threads')
const { beats, stop, work } = workerData
const burn = (ms) => { for (const end = performance.now() + ms; performance.now() < end;); }
setInterval(() => {
  if (Atomics.load(stop, 0) === 1) { if (work === 'sleeps') Atomics.wait(stop, 1, 0); else for (;;); }
  burn(work === 'works' ? 20 : 1)
  Atomics.add(beats, 0, 1)
}, 50)
`

class Watched {
  readonly beats = new Int32Array(new SharedArrayBuffer(4))
  readonly #stop = new Int32Array(new SharedArrayBuffer(8))
  readonly #worker: Worker
  readonly #name: string
  readonly #detector: HangDetector

  constructor(name: string, work: 'works' | 'spins' | 'sleeps') {
    this.#name = name
    this.#worker = new Worker(WORK, { eval: true, name, workerData: { beats: this.beats, stop: this.#stop, work } })
    const cpuWait = new CpuWait(name, () => performance.now())
    this.#detector = new HangDetector(
      INTERVAL,
      () => Atomics.load(this.beats, 0),
      () => cpuWait.look(),
    )
    this.#detector.reset(performance.now())
  }

  /** Gets a thousandth of what others get. */
  starve(): void {
    for (const id of readdirSync('/proc/self/task'))
      if (readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trimEnd() === this.#name) setPriority(Number(id), LOWEST)
  }

  hang(): void {
    Atomics.store(this.#stop, 0, 1)
  }

  /** @returns after how long it counts as hung; undefined: it does not within the time */
  async hungWithin(time: number): Promise<number | undefined> {
    const begun = performance.now()
    while (performance.now() - begun < time) {
      await sleep(INTERVAL)
      if (this.#detector.isHung(performance.now())) return performance.now() - begun
    }
    return undefined
  }

  async runs(): Promise<void> {
    const now = Atomics.load(this.beats, 0)
    await eventually(() => assert.ok(Atomics.load(this.beats, 0) > now + 2))
    await this.hungWithin(INTERVAL)
  }

  async end(): Promise<void> {
    await this.#worker.terminate()
  }
}

describe('on a machine whose CPUs are all taken', { skip: NO_SCHEDSTAT }, () => {
  const burning: ChildProcess[] = []
  const watched: Watched[] = []
  before(() => {
    for (let i = 0; i < availableParallelism() * 2; i++)
      burning.push(
        spawn(...mortal(process.execPath, ['-e', 'for (const end = Date.now() + 90_000; Date.now() < end;);'])),
      )
  })
  after(async () => {
    for (const child of burning) child.kill('SIGKILL')
    for (const one of watched) await one.end()
  })
  const watch = (...args: ConstructorParameters<typeof Watched>): Watched => {
    const one = new Watched(...args)
    watched.push(one)
    return one
  }

  it('a thread that works and gets none does not count as hung', { timeout: 60_000 }, async () => {
    const one = watch('hg-starved', 'works')
    await one.runs()
    one.starve()
    const beats = Atomics.load(one.beats, 0)
    assert.equal(await one.hungWithin(6_000), undefined)
    assert.ok(Atomics.load(one.beats, 0) - beats < 40, 'it had next to none')
  })

  it('one that is in an endless loop does, by the time in which it ran', { timeout: 60_000 }, async (t) => {
    const one = watch('hg-spins', 'spins')
    await one.runs()
    one.hang()
    const took = await one.hungWithin(25_000)
    t.diagnostic(`after ${took?.toFixed(0)} ms`)
    assert.ok(took !== undefined && took > 600, `${took}`)
  })

  it('and so does one that sleeps in a system call', { timeout: 60_000 }, async (t) => {
    const one = watch('hg-sleeps', 'sleeps')
    await one.runs()
    one.hang()
    const took = await one.hungWithin(25_000)
    t.diagnostic(`after ${took?.toFixed(0)} ms`)
    assert.ok(took !== undefined && took > 500, `${took}`)
  })
})
