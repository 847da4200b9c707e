/** Matches whose path may be that of a request, whatever else they ask for: never on the way of a safe request. */
import type { BlockView } from '../snapshot/block-view.ts'
import * as L from '../snapshot/pack-layout.ts'
import type { VirtualHostPlace } from '../snapshot/route-tables.ts'
import { matchAt } from './match-layers.ts'
import { Candidates, findKey, PathScan } from './path-scan.ts'

export interface Candidate extends VirtualHostPlace {
  readonly index: number
}

/**
 * Exact paths, expressions, which are not tried, then prefixes from the longest. What a frontend has of its own comes
 * before what all have in common, which within one path is not always the order of matching.
 */
export function* candidatesOf(places: readonly VirtualHostPlace[], path: string): Generator<Candidate> {
  const layers = places.map(({ block, at }) => ({ block, at, scan: scanOf(block, at, path) }))
  for (const { block, at, scan } of layers)
    if (scan.exact) yield* chainOf(block, at, findKey(block, at, L.VHOST_EXACT_MASK, scan.hash, path, path.length))
  for (const { block, at, scan } of layers) {
    if (block.words[at + L.VHOST_REGEX_DEPTHS] === 0) continue
    const expressions = new Candidates()
    expressions.collect(block, at, scan, path)
    for (let i = 0; i < expressions.count; i++) yield { block, at, index: expressions.at(i) }
  }
  for (let depth = Math.max(...layers.map(({ scan }) => scan.beginnings)) - 1; depth >= 0; depth--)
    for (const { block, at, scan } of layers) {
      if (depth >= scan.beginnings || (block.words[at + L.VHOST_PREFIX_DEPTHS]! & L.depthBit(depth)) === 0) continue
      const { hashes, lengths } = scan
      yield* chainOf(block, at, findKey(block, at, L.VHOST_PREFIX_MASK, hashes[depth]!, path, lengths[depth]!))
    }
}

function scanOf(block: BlockView, at: number, path: string): PathScan {
  const scan = new PathScan()
  scan.read(block, at, path)
  return scan
}

/** @param first index and one; 0 = there is none */
function* chainOf(block: BlockView, at: number, first: number): Generator<Candidate> {
  const matches = at + block.words[at + L.VHOST_MATCHES_AT]!
  for (let next = first; next !== 0; next = block.words[matches + (next - 1) * L.MATCH_WORDS + L.MATCH_NEXT]!)
    yield { block, at, index: next - 1 }
}

/** Index of the policy set of its rule, which is not decoded: a path may have thousands. */
export function policyIndexOf(candidate: Candidate): number {
  const { block, at, index } = candidate
  const { words } = block
  const rule = words[matchAt(candidate, index) + L.MATCH_RULE]!
  return words[at + words[at + L.VHOST_RULES_AT]! + rule * L.RULE_WORDS + L.RULE_POLICY]!
}
