/**
 * Which Services the newest objects name, and whether they tell namespaces apart by labels, whatever else may be wrong
 * with them. A source that reads only what is referred to must be told within the turn that brings the objects, before
 * they are validated in slices: else it would say that it has read everything.
 */
import { list, member } from '../../api/raw-object.ts'
import type { SourceEvent } from '../../source/source.ts'

export class ReferencedServices {
  readonly #byObject = new Map<string, readonly string[]>()
  readonly #uses = new Map<string, number>()
  /** Routes that delegate by labels, however broken they are. */
  readonly #labelled = new Set<string>()

  /** Whether Namespaces have to be read: a delegates entry chooses them by their labels. */
  get namespaces(): boolean {
    return this.#labelled.size > 0
  }

  /** `namespace/name` of every Service named by an object. */
  get services(): Iterable<string> {
    return this.#uses.keys()
  }

  /** @returns whether the set of names may be another */
  note(events: readonly SourceEvent[]): boolean {
    let moved = false
    for (const event of events) {
      if (event.kind !== 'Route' && event.kind !== 'Backend' && event.kind !== 'Ingress') continue
      const object = `${event.kind} ${event.key}`
      if (event.kind === 'Route') moved = this.#noteLabels(event) || moved
      const before = this.#byObject.get(object) ?? []
      const after = event.type === 'delete' ? [] : namedBy(event.kind, event.key, event.raw)
      if (before.length === 0 && after.length === 0) continue
      for (const service of after) this.#count(service, 1)
      for (const service of before) this.#count(service, -1)
      if (after.length > 0) this.#byObject.set(object, after)
      else this.#byObject.delete(object)
      moved ||= before.length !== after.length || before.some((service, i) => after[i] !== service)
    }
    return moved
  }

  #noteLabels(event: SourceEvent): boolean {
    const before = this.namespaces
    if (event.type === 'upsert' && delegatesByLabels(event.raw)) this.#labelled.add(event.key)
    else this.#labelled.delete(event.key)
    return before !== this.namespaces
  }

  #count(service: string, by: 1 | -1): void {
    const uses = (this.#uses.get(service) ?? 0) + by
    if (uses > 0) this.#uses.set(service, uses)
    else this.#uses.delete(service)
  }
}

/** Reads without trust: the object has not passed the door yet. */
function namedBy(kind: 'Route' | 'Backend' | 'Ingress', key: string, raw: unknown): string[] {
  const namespace = key.slice(0, key.indexOf('/'))
  const spec = member(raw, 'spec')
  const services: unknown[] = []
  if (kind === 'Backend') services.push(member(spec, 'service'))
  else if (kind === 'Ingress') {
    services.push(member(member(spec, 'defaultBackend'), 'service'))
    for (const rule of list(member(spec, 'rules')))
      for (const path of list(member(member(rule, 'http'), 'paths')))
        services.push(member(member(path, 'backend'), 'service'))
  } else
    for (const rule of list(member(spec, 'rules')))
      for (const ref of list(member(rule, 'backendRefs'))) services.push(member(ref, 'service'))
  const names = new Set<string>()
  for (const service of services) {
    const name = member(service, 'name')
    if (typeof name === 'string' && name !== '') names.add(`${namespace}/${name}`)
  }
  return [...names]
}

function delegatesByLabels(raw: unknown): boolean {
  const delegates = list(member(member(raw, 'spec'), 'delegates'))
  return delegates.some((delegate) => member(member(delegate, 'namespaces'), 'from') === 'Selector')
}
