/** `x-kubernetes-list-type`: entries of a set, and keys of a map, stand once. */
import type { Schema } from './schema-dialect.ts'
import type { Run } from './schema-run.ts'

export function compileDuplicates(schema: Schema): ((list: readonly unknown[], run: Run) => void) | undefined {
  const type = schema['x-kubernetes-list-type']
  if (type !== 'set' && type !== 'map') return undefined
  const keys = schema['x-kubernetes-list-map-keys'] ?? []
  const identity = (item: unknown): string | undefined => {
    if (type === 'set') return item === undefined ? undefined : JSON.stringify(item)
    if (item === undefined) return undefined
    const values = keys.map((key) => (item as Record<string, unknown>)[key])
    return values.includes(undefined) ? undefined : JSON.stringify(values)
  }
  return (list, run) => {
    if (list.length < 2) return
    const seen = new Map<string, number>()
    for (let i = 0; i < list.length; i++) {
      const id = identity(list[i])
      if (id === undefined) continue
      const first = seen.get(id)
      if (first === undefined) seen.set(id, i)
      else {
        run.path.push(i)
        const what = type === 'set' ? id : `${keys.join(' and ')} ${id.slice(1, -1)}`
        run.problem('Duplicate', `${what} stands already in entry ${first}; each may stand once`)
        run.path.pop()
      }
    }
  }
}
