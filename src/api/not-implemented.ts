/**
 * Fields of the API whose behaviour this build does not have. Set to anything but its default, such a field is refused
 * by name: whoever writes `auth` must never get an open route instead. What is built later leaves this table line by
 * line.
 */
import { POLICIES } from '../policy/built-in.ts'
import type { FieldProblem } from './object.ts'

export interface Unbuilt {
  /**
   * Names joined by dots, `[]` for every entry of a list. `policies:` stands for all places where policies may be
   * stated.
   */
  readonly field: string
  /** Values that mean nothing is asked for, besides absence. */
  readonly accepted?: readonly unknown[]
  /** Values that are refused; every other is accepted. Instead of `accepted`. */
  readonly refused?: readonly unknown[]
}

type Subject = 'Route' | 'Backend' | 'Settings'

const UNBUILT_POLICIES: readonly Unbuilt[] = [
  { field: 'cache' },
  { field: 'compression' },
  { field: 'fault', accepted: [{}] },
  { field: 'plugins', accepted: [[]] },
]

/** A row is built, whatever stands here. */
const isBuilt = ({ field }: Unbuilt): boolean => POLICIES.some(({ key }) => field === key)

const under = (place: string): readonly Unbuilt[] =>
  UNBUILT_POLICIES.filter((entry) => !isBuilt(entry)).map((entry) => ({ ...entry, field: `${place}.${entry.field}` }))

export const UNBUILT: Readonly<Record<Subject, readonly Unbuilt[]>> = {
  Route: [
    { field: 'spec.maintenance.enabled', accepted: [false] },
    ...under('spec.policies'),
    ...under('spec.policies.enforced'),
    ...under('spec.rules[].policies'),
  ],
  Backend: [],
  Settings: [
    { field: 'accessLog.fields', accepted: [{}] },
    { field: 'plugins', accepted: [[]] },
    { field: 'tracing' },
    ...under('policies.defaults'),
    ...under('policies.enforced'),
  ],
}

/** For the description of the field, which `kubectl explain` shows. */
export function unbuiltSentence({ accepted, refused }: Unbuilt): string {
  const list = (values: readonly unknown[]) =>
    values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))).join(', ')
  if (refused !== undefined) return `Not built yet: ${list(refused)}.`
  if (accepted === undefined) return 'Not built yet: refused.'
  return `Not built yet: only ${list(accepted)}.`
}

/** The table as a tree, so that an object is walked once. */
interface Branch {
  entry?: Unbuilt
  readonly fields: Map<string, Branch>
  /** For every entry of a list. */
  each?: Branch
}

function plant(entries: readonly Unbuilt[]): Branch {
  const root: Branch = { fields: new Map() }
  for (const entry of entries) {
    let branch = root
    for (const step of entry.field.split('.')) {
      branch = grow(branch, step.replace('[]', ''))
      if (step.endsWith('[]')) branch = branch.each ??= { fields: new Map() }
    }
    branch.entry = entry
  }
  return root
}

function grow(branch: Branch, name: string): Branch {
  let child = branch.fields.get(name)
  if (child === undefined) branch.fields.set(name, (child = { fields: new Map() }))
  return child
}

const TREES: Readonly<Record<Subject, Branch>> = {
  Route: plant(UNBUILT.Route),
  Backend: plant(UNBUILT.Backend),
  Settings: plant(UNBUILT.Settings),
}

/** @param object after validation, defaults applied; may be incomplete where validation found fault */
export function unbuiltFields(subject: Subject, object: unknown): FieldProblem[] {
  const problems: FieldProblem[] = []
  visit(object, TREES[subject], [], problems)
  return problems
}

function visit(value: unknown, branch: Branch, path: (string | number)[], problems: FieldProblem[]): void {
  const { entry, fields, each } = branch
  if (entry !== undefined && isRefused(entry, value))
    problems.push({ path: [...path], reason: 'NotImplemented', message: describe(entry) })
  if (typeof value !== 'object' || value === null) return
  for (const [name, child] of fields) {
    const next = (value as Readonly<Record<string, unknown>>)[name]
    if (next === undefined) continue
    path.push(name)
    visit(next, child, path, problems)
    path.pop()
  }
  if (each !== undefined && Array.isArray(value))
    for (let i = 0; i < value.length; i++) {
      path.push(i)
      visit(value[i], each, path, problems)
      path.pop()
    }
}

function isRefused(entry: Unbuilt, value: unknown): boolean {
  if (entry.refused !== undefined) return entry.refused.includes(value)
  return !(entry.accepted ?? []).some((accepted) => same(accepted, value))
}

function describe(entry: Unbuilt): string {
  const name = entry.field.split('.').at(-1)!.replace('[]', '')
  if (entry.refused !== undefined)
    return `${name} does not do ${entry.refused.join(' or ')} yet in this version; choose another value`
  const accepted = entry.accepted?.map((value) => JSON.stringify(value)) ?? []
  return `${name} is not built yet in this version; ${accepted.length === 0 ? 'leave it out' : `leave it out, or write ${accepted.join(' or ')}`}`
}

/** Plain data; key order does not count. */
function same(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  const keys = Object.keys(a)
  return (
    Array.isArray(a) === Array.isArray(b) &&
    keys.length === Object.keys(b).length &&
    keys.every((key) => same((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
  )
}
