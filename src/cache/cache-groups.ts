/** Groups of responses that become invalid together (RFC 9875). */
import type { Fields } from '../message/fields.ts'
import { invalidates } from './invalidation.ts'
import { stringList } from './structured-fields.ts'

/** RFC 9875 §2 asks for at least 32 groups of up to 32 characters. What is longer or beyond counts for nothing. */
export const MAX_GROUPS = 128
export const MAX_GROUP_LENGTH = 128

/** The groups that a response belongs to. Each is of its origin: the same name of another origin is another group. */
export function cacheGroups(fields: Fields): readonly string[] {
  return groupsOf(fields, 'cache-groups')
}

/** RFC 9875 §3: ignored in responses to safe methods. An error invalidates nothing, as with the target itself. */
export function invalidatedGroups(method: string, status: number, fields: Fields): readonly string[] {
  return invalidates(method, status) ? groupsOf(fields, 'cache-group-invalidation') : []
}

function groupsOf(fields: Fields, name: string): readonly string[] {
  if (!fields.has(name)) return []
  const groups = new Set<string>()
  for (const group of stringList(fields.all(name))) {
    if (groups.size === MAX_GROUPS) break
    if (group !== '' && group.length <= MAX_GROUP_LENGTH) groups.add(group)
  }
  return [...groups]
}
