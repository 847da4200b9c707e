/**
 * Which rule wins: the total order of api.md, the Gateway API's. The most specific hostname comes before all of this:
 * matches are compared within one hostname. Everything that is compared is part of the objects themselves, so every
 * replica comes to the same order.
 */
import type { Match, PathMatch } from './snapshot.ts'

/** The conditions of a match that determine its order. */
export type MatchConditions = Pick<Match, 'path' | 'method' | 'headers' | 'queryParams' | 'cookies' | 'sourceCIDRs'>

export interface OrderedMatch {
  readonly match: MatchConditions
  /** Creation of the Route, milliseconds since the epoch; undefined in a folder, where the name decides. */
  readonly created: number | undefined
  /** `namespace/name` */
  readonly route: string
  /** Place of the rule in its Route. */
  readonly ruleOrder: number
  /** Place of the match in its rule. */
  readonly matchOrder: number
}

const KIND: Readonly<Record<PathMatch['type'], number>> = { Exact: 0, RegularExpression: 1, PathPrefix: 2 }

/** Negative when `a` is tried before `b`; 0 only for one and the same match. */
export function compareMatches(a: OrderedMatch, b: OrderedMatch): number {
  return compareSpecificity(a.match, b.match) || compareOrigin(a, b)
}

/**
 * The part of the order that a match itself decides. Two matches for which this is 0 and whose conditions are the same
 * are in conflict.
 */
export function compareSpecificity(a: MatchConditions, b: MatchConditions): number {
  return (
    KIND[a.path.type] - KIND[b.path.type] ||
    // Of two exact values only one can match: length decides nothing there, but a listing reads better.
    b.path.value.length - a.path.value.length ||
    Number(b.method !== undefined) - Number(a.method !== undefined) ||
    b.headers.length - a.headers.length ||
    b.queryParams.length - a.queryParams.length ||
    b.cookies.length - a.cookies.length ||
    // More addresses are less specific than fewer, but any are more specific than none.
    Number(b.sourceCIDRs.length > 0) - Number(a.sourceCIDRs.length > 0) ||
    b.sourceCIDRs.length - a.sourceCIDRs.length
  )
}

/** The older Route first, then by name, then by position within the Route. */
function compareOrigin(a: OrderedMatch, b: OrderedMatch): number {
  return (
    compareCreated(a.created, b.created) ||
    compareText(a.route, b.route) ||
    a.ruleOrder - b.ruleOrder ||
    a.matchOrder - b.matchOrder
  )
}

/** Routes with a creation time come first, so that the order stays total when only some have one. */
function compareCreated(a: number | undefined, b: number | undefined): number {
  if (a === b) return 0
  if (a === undefined) return 1
  if (b === undefined) return -1
  return a - b
}

/** By code unit: a locale would make replicas differ. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
