import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { chooseOther, choosePlace, type Level, type Room } from '../../src/balance/priority-split.ts'
import type { SplitDraw } from '../../src/balance/split.ts'
import { UserSplit } from '../../src/balance/user-split.ts'
import { WeightedSplits } from '../../src/balance/weighted-split.ts'
import { hashKey } from '../../src/lib/hash.ts'
import { seeded } from '../suite/balancer.ts'

type Part = readonly [weight: number, room: Partial<Room> | null]

const room = ({ share = 0, usable = share > 0, trial = null }: Partial<Room>): Room => ({ share, usable, trial })

class World {
  readonly levels: Level[]
  readonly rooms: ({ room: Room } | null)[][]

  constructor(...levels: readonly (readonly Part[])[]) {
    this.levels = levels.map((parts, level) => ({
      key: `r/${level}`,
      backends: parts.map(([weight], at) => ({ weight, identity: hashKey(`b${level}-${at}`) })),
      weight: parts.reduce((sum, [weight]) => sum + weight, 0),
    }))
    this.rooms = levels.map((parts) => parts.map(([, one]) => (one === null ? null : { room: room(one) })))
  }

  /** Share of the requests that each reference gets. */
  shares(draws: (i: number) => SplitDraw, times = 20_000): number[][] {
    const shares = this.rooms.map((level) => level.map(() => 0))
    for (let i = 0; i < times; i++) {
      const { level, at } = choosePlace(this.levels, this.rooms, draws(i))!
      shares[level]![at]! += 1 / times
    }
    return shares
  }
}

const turns = () => {
  const splits = new WeightedSplits(seeded(3))
  return () => splits
}
const users = () => (i: number) => new UserSplit(hashKey(`user-${i}`))

function close(actual: readonly (readonly number[])[], expected: readonly (readonly number[])[]): void {
  for (const [level, parts] of expected.entries())
    for (const [at, share] of parts.entries())
      assert.ok(
        Math.abs(actual[level]![at]! - share) < 0.015,
        `${JSON.stringify(actual)} is not ${JSON.stringify(expected)}`,
      )
}

const WELL = { share: 1 }
const GONE = { share: 0 }

const CASES: readonly (readonly [what: string, levels: readonly (readonly Part[])[], shares: readonly number[][]])[] = [
  ['the first level takes all while it can', [[[1, WELL]], [[1, WELL]]], [[1], [0]]],
  ['the next takes all when it cannot', [[[1, GONE]], [[1, WELL]]], [[0], [1]]],
  ['the next takes what is left', [[[1, { share: 0.7 }]], [[1, WELL]]], [[0.7], [0.3]]],
  // Envoy's documentation, "Priority levels": 25 % of P0 healthy, all of P1.
  ['as in Envoy’s table', [[[1, { share: 0.35 }]], [[1, WELL]]], [[0.35], [0.65]]],
  // 25 % and 25 %: 35 and 35, normalized to 50 and 50.
  ['normalized where all have too little', [[[1, { share: 0.35 }]], [[1, { share: 0.35 }]]], [[0.5], [0.5]]],
  [
    'a third level takes what two leave',
    [[[1, { share: 0.35 }]], [[1, { share: 0.35 }]], [[1, WELL]]],
    [[0.35], [0.35], [0.3]],
  ],
  [
    'a level that has less room than what is left is full',
    [[[1, { share: 0.1 }]], [[1, { share: 0.6 }]], [[1, WELL]]],
    [[0.1], [0.6], [0.3]],
  ],
  [
    'a sibling gets nothing of the part of one that is gone',
    [
      [
        [90, GONE],
        [10, WELL],
      ],
      [[1, WELL]],
    ],
    [[0, 0.1], [0.9]],
  ],
  [
    'each keeps what it can take of its part',
    [
      [
        [50, { share: 0.5 }],
        [50, WELL],
      ],
      [[1, WELL]],
    ],
    [[0.25, 0.5], [0.25]],
  ],
  ['what does not resolve takes nothing', [[[1, null]], [[1, WELL]]], [[0], [1]]],
  [
    'weights divide the next level, too',
    [
      [[1, GONE]],
      [
        [3, WELL],
        [1, WELL],
        [0, WELL],
      ],
    ],
    [[0], [0.75, 0.25, 0]],
  ],
  [
    'where nobody is well, the last level that can be tried is',
    [[[1, { usable: true }]], [[1, { usable: true }]], [[1, GONE]]],
    [[0], [1], [0]],
  ],
  [
    'and of that the Backends that can be tried',
    [
      [[1, { usable: true }]],
      [
        [1, { usable: true }],
        [1, GONE],
      ],
    ],
    [[0], [1, 0]],
  ],
  ['and where nothing can, the last level answers', [[[1, GONE]], [[1, null]]], [[0], [1]]],
  ['a trial is worth a request where its Backend takes nothing', [[[1, { trial: {} }]], [[1, WELL]]], [[1], [0]]],
]

describe('a split with priorities', () => {
  for (const [what, levels, shares] of CASES)
    it(what, () => {
      close(new World(...levels).shares(turns()), shares)
      close(new World(...levels).shares(users()), shares)
    })

  it('nobody moves who does not have to, and everybody comes back', () => {
    const at = (share: number): readonly number[] => {
      const { levels, rooms } = new World([[1, { share }]], [[1, WELL]])
      return Array.from({ length: 5_000 }, (_, i) => choosePlace(levels, rooms, users()(i))!.level)
    }
    const [all, most, some] = [at(1), at(0.8), at(0.4)]
    for (const [i, level] of most.entries()) if (level === 1) assert.equal(some[i], 1)
    assert.ok(all.every((level) => level === 0))
    assert.deepEqual(at(0.8), most)
  })

  it('another level is found once each, with room, in their order', () => {
    const { levels, rooms } = new World([[1, WELL]], [[1, GONE]], [[1, { share: 0.1 }]], [[1, WELL]])
    const splits = turns()()
    assert.deepEqual(chooseOther(levels, rooms, splits, 0b0001), { level: 2, at: 0 })
    assert.deepEqual(chooseOther(levels, rooms, splits, 0b0101), { level: 3, at: 0 })
    assert.equal(chooseOther(levels, rooms, splits, 0b1101), null)
  })

  it('has an answer for everything that can be written', () => {
    const part = fc.tuple(
      fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 1_000_000 })),
      fc.option(
        fc.record({
          share: fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true })),
          usable: fc.boolean(),
        }),
      ),
    )
    const level = fc.array(part, { minLength: 1, maxLength: 5 }).filter((parts) => parts.some(([weight]) => weight > 0))
    fc.assert(
      fc.property(fc.array(level, { maxLength: 5 }), fc.nat(), (levels, seed) => {
        const { levels: made, rooms } = new World(...(levels as Part[][]))
        for (const draw of [new WeightedSplits(seeded(seed)), new UserSplit(seed)]) {
          const place = choosePlace(made, rooms, draw)
          if (place === null) return assert.equal(levels.length, 0)
          const chosen = rooms[place.level]![place.at]?.room
          assert.ok(levels[place.level]![place.at]![0] > 0, 'it has a weight')
          const some = (wanted: (one: Room) => boolean) =>
            rooms.some((parts, l) =>
              parts.some((one, at) => one !== null && levels[l]![at]![0] > 0 && wanted(one.room)),
            )
          if (some(({ share }) => share > 1e-200)) assert.ok(chosen !== undefined && chosen.share > 0, 'it has room')
          else if (!some(({ share }) => share > 0) && some(({ usable }) => usable))
            assert.ok(chosen?.usable, 'it can be tried')
        }
      }),
    )
  })
})
