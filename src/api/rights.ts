/** Rights of a role that follow from the table of kinds: what is read, and where statuses are written. */
import { KINDS, type KindTable, referredKind } from './kinds.ts'

export interface Right {
  readonly apiGroup: string
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
}

export interface Rights {
  /** In each namespace that is watched. */
  readonly namespaced: readonly Right[]
  readonly cluster: readonly Right[]
}

/** What is referred to by others than objects: Services that guard what may be dialled, Namespaces by the settings. */
const NAMED_OTHERWISE = ['Service', 'Namespace']

/** A kind without possible references is not read, and needs no right. */
export function rightsOf(table: KindTable = KINDS): Rights {
  const named = new Set(NAMED_OTHERWISE)
  for (const { references } of Object.values(table)) for (const kind of references?.names ?? []) named.add(kind)
  const rights = { namespaced: [] as Right[], cluster: [] as Right[] }
  for (const [kind, row] of Object.entries(table)) {
    const list = row.namespaced ? rights.namespaced : rights.cluster
    if (row.read === 'always') add(list, row.group, row.plural, ['get', 'list', 'watch'])
    else if (named.has(referredKind(kind, row))) add(list, row.group, row.plural, ['list', 'watch'])
    if (row.status) add(list, row.group, `${row.plural}/status`, ['patch'])
  }
  return rights
}

/** Kinds of one group with the same verbs are one right. */
function add(rights: Right[], apiGroup: string, resource: string, verbs: readonly string[]): void {
  const at = rights.findIndex((one) => one.apiGroup === apiGroup && one.verbs.join() === verbs.join())
  const before = rights[at]
  if (before === undefined) rights.push({ apiGroup, resources: [resource], verbs })
  else rights[at] = { ...before, resources: [...before.resources, resource] }
}
