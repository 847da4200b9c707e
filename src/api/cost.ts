/**
 * The cost of an object: what it takes to compile it, to keep it in the routing tables, and to compare requests with
 * it. Lists multiply (hostnames × listeners × matches × conditions: what is kept to some listeners may have to be
 * stored for each of them), and a short pattern may compile to a large program, so that an object inside every limit of
 * its schema could stop an installation. The cost is read off the object before anything else is done with it.
 *
 * One unit is about 16 bytes of packed tables, or a microsecond of one thread.
 */

import { patternCost } from '../pattern/pattern-cost.ts'
import { POLICIES } from '../policy/built-in.ts'
import type { Kind } from './kinds.ts'
import type { FieldProblem } from './object.ts'
import { list, member } from './raw-object.ts'

/** Maximum units of one object: nearly 5 MiB of tables, a third of a second. */
export const MAX_OBJECT_COST = 300_000
/** Regular expressions of one Route, equal ones included; the schema of Route says the same. */
export const MAX_PATTERNS = 1_024

const RULE = 8
const MATCH = 4
const VALUE = 1
const CIDR = 2
const INSTRUCTION = 12
/** Of a CEL expression with patterns, which may have 250 instructions; its text takes a microsecond a character. */
const EXPRESSION_PATTERNS = 250 * INSTRUCTION
/** Bytes of text that are one unit. */
const TEXT = 16

export interface ObjectCost {
  readonly units: number
  /** The largest part with its numbers, as the end of a sentence. */
  readonly largest: string
  /** Regular expressions in matches, equal ones included. */
  readonly patterns: number
}

type Part = Omit<ObjectCost, 'patterns'>

/**
 * Never throws, whatever `object` is: it may not have been validated.
 * @param object a Route, an Ingress, or anything else, which costs nothing
 */
export function objectCost(kind: Kind, object: unknown): ObjectCost {
  const spec = member(object, 'spec')
  if (kind === 'Route') return routeCost(spec)
  return kind === 'Ingress' ? ingressCost(spec) : NOTHING
}

const NOTHING: ObjectCost = { units: 0, largest: '', patterns: 0 }

export function costProblems(kind: Kind, object: unknown): FieldProblem[] {
  const { units, largest, patterns } = objectCost(kind, object)
  if (units > MAX_OBJECT_COST) {
    const message = `costs ${units} units, and one object may cost ${MAX_OBJECT_COST}: most of it is ${largest}; divide it into several objects, or write less of that`
    return [{ path: ['spec'], reason: 'TooCostly', message }]
  }
  if (patterns > MAX_PATTERNS) {
    const message = `has ${patterns} regular expressions, and a Route may have ${MAX_PATTERNS}; divide it into several Routes`
    return [{ path: ['spec', 'rules'], reason: 'TooCostly', message }]
  }
  return []
}

function routeCost(spec: unknown): ObjectCost {
  const hostnames = Math.max(list(member(spec, 'hostnames')).length, 1)
  const listeners = Math.max(list(member(spec, 'listeners')).length, 1)
  const rules = list(member(spec, 'rules'))
  const patterns = new Patterns()
  let matches = 0
  let entries = 0
  let kept = 0
  let expressions = expressionCost(member(member(spec, 'policies'), 'authorization'))
  expressions += expressionCost(member(member(member(spec, 'policies'), 'enforced'), 'authorization'))
  expressions *= policyVariants(spec)
  for (const rule of rules) {
    const given = list(member(rule, 'matches'))
    matches += Math.max(given.length, 1)
    for (const match of given) entries += matchCost(match, patterns)
    if (given.length === 0) entries += MATCH
    const own = member(rule, 'policies')
    for (const { key } of POLICIES) if (member(own, key) !== undefined) kept += textBytes(member(own, key))
    entries += pathsCost(own)
    expressions += expressionCost(member(own, 'authorization'))
    patterns.addRewrite(member(own, 'rewrite'))
    patterns.addRewrite(member(rule, 'redirect'))
  }
  const policies = member(spec, 'policies')
  const variants = policyVariants(spec)
  for (const above of [policies, member(policies, 'enforced')]) {
    patterns.addRewrite(member(above, 'rewrite'))
    entries += pathsCost(above)
  }
  let prefixes = 0
  for (const delegate of list(member(spec, 'delegates')))
    for (const prefix of list(member(delegate, 'pathPrefixes'))) prefixes += VALUE + textCost(prefix)
  const places = hostnames === 1 ? '' : ` on each of ${hostnames} hostnames`
  const frontends = listeners === 1 ? '' : `${places === '' ? '' : ','} for each of ${listeners} listeners`
  const parts = [
    { units: hostnames * listeners * entries, largest: `${matches} matches and their conditions${places}${frontends}` },
    { units: hostnames * prefixes, largest: `path prefixes of delegates${places}` },
    {
      units: patterns.units,
      largest: `${patterns.size} regular expressions, ${patterns.instructions} instructions in all`,
    },
    {
      units: variants * Math.floor(textBytes(policies) / TEXT),
      largest: `policies of the Route, for each of ${variants} rules that say something of their own`,
    },
    { units: Math.floor(kept / TEXT), largest: 'policies of rules, such as pages' },
    { units: expressions, largest: 'expressions of authorization' },
    { units: listeners * rules.length * RULE, largest: `${rules.length} rules${frontends}` },
  ]
  return { ...sum(parts), patterns: patterns.inMatches }
}

/** Of the rules for what policies serve themselves. */
function pathsCost(policies: unknown): number {
  let units = 0
  for (const { key, paths } of POLICIES)
    for (const { path } of paths?.(member(policies, key)) ?? []) units += RULE + MATCH + textCost(path)
  return units
}

/** The rule's own additions to the policies of its Route. */
const OWN_POLICIES = ['policies', 'redirect', 'respond', 'tokenIssuer'] as const

/**
 * How often the policies of a Route are kept, by workers too: once for each rule that adds something of its own, once
 * for all others.
 *
 * @param spec of a Route, validated or not
 */
export function policyVariants(spec: unknown): number {
  if (member(spec, 'policies') === undefined) return 0
  const rules = list(member(spec, 'rules'))
  return rules.filter((rule) => OWN_POLICIES.some((name) => member(rule, name) !== undefined)).length + 1
}

/** Of the names and values in it, with what JSON puts around them. */
function textBytes(value: unknown): number {
  if (typeof value === 'string') return value.length + 3
  if (typeof value !== 'object' || value === null) return 4
  let bytes = 2
  for (const [name, part] of Object.entries(value))
    bytes += (Array.isArray(value) ? 0 : name.length + 3) + textBytes(part)
  return bytes
}

/** Each is compiled for each set of policies that has it, in control and in every worker. */
function expressionCost(authorization: unknown): number {
  let units = 0
  for (const rule of list(authorization)) {
    const source = member(rule, 'cel')
    if (typeof source === 'string') units += source.length + (source.includes('matches') ? EXPRESSION_PATTERNS : 0)
  }
  return units
}

function matchCost(match: unknown, patterns: Patterns): number {
  const path = member(match, 'path')
  let units = MATCH + textCost(member(path, 'value'))
  patterns.add(path)
  for (const name of ['headers', 'queryParams', 'cookies'] as const)
    for (const condition of list(member(match, name))) {
      units += VALUE + textCost(member(condition, 'name')) + textCost(member(condition, 'value'))
      patterns.add(condition)
    }
  return units + CIDR * list(member(match, 'sourceCIDRs')).length
}

/** Paths of one host become the rules of a Route for that host. */
function ingressCost(spec: unknown): ObjectCost {
  const rules = list(member(spec, 'rules'))
  let paths = 0
  let units = 0
  for (const rule of rules)
    for (const path of list(member(member(rule, 'http'), 'paths'))) {
      paths++
      units += RULE + MATCH + VALUE + textCost(member(path, 'path'))
    }
  const parts = [
    { units, largest: `${paths} paths` },
    { units: rules.length * RULE, largest: `${rules.length} rules` },
  ]
  return { ...sum(parts), patterns: 0 }
}

/** Each source once: a worker compiles it once. */
class Patterns {
  readonly #seen = new Set<string>()
  units = 0
  instructions = 0
  inMatches = 0

  get size(): number {
    return this.#seen.size
  }

  /** @param condition a path or value with its `type` */
  add(condition: unknown): void {
    if (member(condition, 'type') !== 'RegularExpression') return
    this.inMatches++
    this.#addSource(member(condition, 'value'))
  }

  /** @param rewrite a rewrite or a redirect */
  addRewrite(rewrite: unknown): void {
    this.#addSource(member(member(member(rewrite, 'path'), 'replaceRegex'), 'pattern'))
  }

  #addSource(source: unknown): void {
    if (typeof source !== 'string' || this.#seen.has(source)) return
    this.#seen.add(source)
    const { instructions, compile } = patternCost(source)
    this.instructions += instructions
    this.units += instructions * INSTRUCTION + compile
  }
}

function sum(parts: readonly Part[]): Part {
  let units = 0
  let largest = parts[0]!
  for (const part of parts) {
    units += part.units
    if (part.units > largest.units) largest = part
  }
  return { units, largest: largest.largest }
}

function textCost(text: unknown): number {
  return typeof text === 'string' ? Math.floor(text.length / TEXT) : 0
}
