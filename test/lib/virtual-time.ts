/** Time that passes only when a test says so; several clocks over it, each with its own idea of what time it is. */
import type { TimerClock } from '../../src/lib/clock.ts'

/** For how long the machine has been up: words of 32 bits go round while tests run, and no step of a wheel begins. */
const UPTIME = 2 ** 31 - 500

interface Alarm {
  readonly at: number
  readonly ring: () => void
}

export class VirtualTime {
  now = 0
  readonly #alarms = new Set<Alarm>()

  /** @param offset of its monotonic clock, milliseconds @param wall milliseconds since the epoch; may jump */
  keeper(offset = 0, wall: () => number = () => 1_800_000_000_000 + this.now): TimerClock {
    return {
      wall,
      monotonic: () => UPTIME + this.now + offset,
      after: (delay, ring) => this.after(delay, ring),
      every: (interval, ring) => this.every(interval, ring),
      nextTurn: (ring) => this.after(0, ring),
    }
  }

  after(delay: number, ring: () => void): () => void {
    const alarm = { at: this.now + Math.max(0, delay), ring }
    this.#alarms.add(alarm)
    return () => this.#alarms.delete(alarm)
  }

  every(interval: number, ring: () => void): () => void {
    let cancel = (): void => {}
    const arm = (): void => {
      cancel = this.after(interval, () => {
        arm()
        ring()
      })
    }
    arm()
    return () => cancel()
  }

  get pending(): number {
    return this.#alarms.size
  }

  /** Lets so much time pass: every alarm in its order, and what follows from each before the next. */
  async pass(time: number, look: () => void = () => {}): Promise<void> {
    const end = this.now + time
    await settle()
    for (;;) {
      let next: Alarm | undefined
      for (const alarm of this.#alarms) if (alarm.at <= end && (next === undefined || alarm.at < next.at)) next = alarm
      if (next === undefined) break
      this.#alarms.delete(next)
      this.now = Math.max(this.now, next.at)
      next.ring()
      look()
      await settle()
      look()
    }
    this.now = end
    look()
  }
}

/** Every promise that can go on has gone on. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
