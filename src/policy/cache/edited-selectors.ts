/**
 * Selectors whose values `requestHeaders` hand on by another name, while what they name itself does not get as far as
 * the cache: a cookie or field that is taken out, a parameter that is no part of the key. What a request is looked up
 * by is what the origin would get, so it is that other name that tells requests apart.
 */
import { looseName } from '../../message/fields.ts'
import type { HeaderEdits, HeaderValue, PolicySet } from '../policy-set.ts'
import { selectorsIn } from '../variables.ts'
import type { CachePlan } from './plan.ts'

/** The plan with the fields that are made of what it names, where nothing else of that is left. */
export function withEdits(plan: CachePlan, { requestHeaders: edits }: PolicySet): CachePlan {
  if (edits === undefined) return plan
  const made = madeBy(edits)
  const by = new Set(plan.by)
  const bypass = new Set(plan.bypass)
  const lost = (selector: string): boolean => isLost(selector, edits, plan)
  for (const selector of plan.by.filter(lost)) for (const { name } of madeOf(selector, made)) by.add(`header:${name}`)
  // Parameters are looked at before any is dropped.
  for (const selector of plan.bypass.filter((one) => !one.startsWith('query:') && lost(one)))
    for (const { name, value } of madeOf(selector, made)) {
      // With other variables in it the field says nothing of this one by being there.
      const alone = selectorsIn(value).every((one) => plan.bypass.some((other) => isSame(one, other)))
      if (alone) bypass.add(`header:${name}`)
      else by.add(`header:${name}`)
    }
  return { ...plan, by: [...by].sort(), bypass: [...bypass] }
}

/** The fields that edits make. */
export const madeBy = (edits: HeaderEdits | undefined): readonly HeaderValue[] => [
  ...(edits?.set ?? []),
  ...(edits?.add ?? []),
]

function isLost(selector: string, { set, remove }: HeaderEdits, { query }: CachePlan): boolean {
  if (selector.startsWith('query:')) return query !== undefined
  const field = selector.startsWith('cookie:') ? 'cookie' : /^header:(.*)$/.exec(selector)?.[1]
  if (field === undefined) return false
  const loose = looseName(field)
  return [...remove, ...set.map(({ name }) => name)].some((name) => looseName(name) === loose)
}

const madeOf = (selector: string, made: readonly HeaderValue[]): readonly HeaderValue[] =>
  made.filter(({ value }) => selectorsIn(value).some((one) => isSame(one, selector)))

/** Names of fields have no case. */
function isSame(one: string, other: string): boolean {
  return one === other || (one.startsWith('header:') && one.toLowerCase() === other.toLowerCase())
}
