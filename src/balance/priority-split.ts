/**
 * A split whose references have priorities: each level takes what it can, and what is left goes to the next one. By
 * Backend and exact, as Envoy does it by host ("Priority levels" of its documentation): a Backend that can take 70 % of
 * its part keeps 70 % of it, whatever its siblings do, and no sibling gets the rest of its part.
 */
import type { Split, SplitDraw } from './split.ts'

/** What a Backend can take. */
export interface Room {
  /** 0 … 1, of the requests that its weight gives it. */
  readonly share: number
  /** It would get requests if nothing better were left. */
  readonly usable: boolean
  /** One request is wanted as a trial; null where there is none. */
  readonly trial: object | null
}

export interface Level extends Split {
  /** Sum of the weights; more than 0. */
  readonly weight: number
}

/** Backends by level and reference; null where a reference does not resolve. Their room is read where it decides. */
export type Rooms = readonly (readonly ({ readonly room: Room } | null)[])[]

/** A reference: its level, and its index in there. */
export interface Place {
  readonly level: number
  readonly at: number
}

/** Of the question who takes what nobody has room for. */
const REST = 0x5ca1ab1e

/**
 * @param levels the first to be used first
 * @returns null when every weight is 0
 */
export function choosePlace(levels: readonly Level[], rooms: Rooms, draw: SplitDraw): Place | null {
  let left = 1
  let total = 0
  for (let level = 0; level < levels.length; level++) {
    const split = levels[level]!
    const at = draw.turn(split)
    const room = rooms[level]![at]?.room
    if (room !== undefined && takes(room, left, draw, split.backends[at]!.identity)) return { level, at }
    const part = taken(split, rooms[level]!, left)
    left -= part
    total += part
  }
  return total > 0 ? chooseFull(levels, rooms, draw, total) : chooseAny(levels, rooms, draw)
}

/**
 * For a request that failed: a reference of another level that has room.
 *
 * @param used bit mask of the levels that are out of the question
 * @returns null when there is none
 */
export function chooseOther(levels: readonly Level[], rooms: Rooms, draw: SplitDraw, used: number): Place | null {
  for (let level = 0; level < levels.length; level++) {
    if ((used & (1 << level)) !== 0) continue
    const at = find(levels[level]!, rooms[level]!, draw, hasRoom)
    if (at >= 0) return { level, at }
  }
  return null
}

/** Whether one request goes to a Backend. @param left share of all requests that reaches its level */
function takes({ share, trial }: Room, left: number, draw: SplitDraw, identity: number): boolean {
  if (share === 0) return trial !== null
  return share >= left || draw.chance(identity) * left < share
}

/** The share of all requests that a level takes. */
function taken({ backends, weight }: Level, rooms: Rooms[number], left: number): number {
  let sum = 0
  for (let i = 0; i < backends.length; i++) sum += backends[i]!.weight * Math.min(left, rooms[i]?.room.share ?? 0)
  return sum / weight
}

/** All levels together have too little room: each gets more, in proportion to what it has. @param total of the room */
function chooseFull(levels: readonly Level[], rooms: Rooms, draw: SplitDraw, total: number): Place {
  let chance = draw.chance(REST) * total
  let left = 1
  let last: Place | null = null
  for (let level = 0; level < levels.length; level++) {
    const { backends, weight } = levels[level]!
    let sum = 0
    for (let at = 0; at < backends.length; at++) {
      const part = (backends[at]!.weight / weight) * Math.min(left, rooms[level]![at]?.room.share ?? 0)
      if (part === 0) continue
      last = { level, at }
      chance -= part
      if (chance < 0) return last
      sum += part
    }
    left -= sum
  }
  return last!
}

/** Nobody has room: the last level with anything that can be tried. */
function chooseAny(levels: readonly Level[], rooms: Rooms, draw: SplitDraw): Place | null {
  for (let level = levels.length - 1; level >= 0; level--) {
    const at = find(levels[level]!, rooms[level]!, draw, isUsable)
    if (at >= 0) return { level, at }
  }
  const level = levels.length - 1
  return level < 0 ? null : { level, at: draw.turn(levels[level]!) }
}

function find(split: Level, rooms: Rooms[number], draw: SplitDraw, wanted: (room: Room) => boolean): number {
  const { backends } = split
  const first = draw.turn(split)
  for (let i = 0; i < backends.length; i++) {
    const at = (first + i) % backends.length
    const backend = rooms[at]
    if (backends[at]!.weight > 0 && backend != null && wanted(backend.room)) return at
  }
  return -1
}

function hasRoom({ share }: Room): boolean {
  return share > 0
}

function isUsable({ usable }: Room): boolean {
  return usable
}
