/**
 * Keeps a user in one part of a split: weighted rendezvous hashing (Thaler & Ravishankar 1998, "Using name-based
 * mappings to increase hit rates"; the weights after Schindelhauer & Schomaker 2005, "Weighted distributed hash
 * tables"). Each reference scores by user and Backend alone, and the highest score takes the user. So order and rule
 * make no difference, all workers and replicas decide alike without a word, and where a weight grows users move to that
 * Backend and nowhere else.
 */
import { GOLDEN, mix } from '../lib/hash.ts'
import type { Split, SplitDraw } from './split.ts'

export class UserSplit implements SplitDraw {
  readonly #user: number

  /** @param user `hashKey` of what the user is told by */
  constructor(user: number) {
    this.#user = user
  }

  turn({ backends }: Split): number {
    let chosen = -1
    let most = 0
    for (let i = 0; i < backends.length; i++) {
      const { weight, identity } = backends[i]!
      if (weight === 0) continue
      // An exponential race: the time to the first event of a process with the rate `weight`, inverted.
      const score = weight / -Math.log(unit(this.#user, identity))
      if (score <= most) continue
      chosen = i
      most = score
    }
    return chosen
  }

  chance(salt: number): number {
    return unit(this.#user, mix(salt ^ GOLDEN))
  }
}

/** More than 0 and less than 1. */
function unit(user: number, identity: number): number {
  return (mix(mix(user + GOLDEN) ^ identity) + 0.5) / 0x1_0000_0000
}
