/** What is different between two sets of resources, as work to be done. */
import { isDeepStrictEqual } from 'node:util'
import type { SettingsObject } from '../api/settings.ts'
import { ingressRoutes } from './ingress.ts'
import type { CompileMemo } from './memo.ts'
import type { Meter } from './meter.ts'
import { type ResourceSet, refusedKey } from './resource-set.ts'

/** May be given up at any point and begun again: everything is only added to work lists. */
export function* noteChanges(memo: CompileMemo, resources: ResourceSet, meter: Meter): Generator<void, void> {
  const before = memo.base(resources)
  const { work } = memo
  for (const { key } of before.routes.changesTo(resources.routes)) {
    work.routes.add(key)
    if (meter.spend(1)) yield
  }
  for (const change of before.ingresses.changesTo(resources.ingresses))
    for (const ingress of [change.before, change.after])
      for (const key of ingress === undefined ? [] : ingressRoutes(ingress).keys()) {
        work.routes.add(key)
        if (meter.spend(2)) yield
      }
  for (const { key } of before.backends.changesTo(resources.backends)) {
    work.targets.add(key)
    if (meter.spend(1)) yield
  }
  for (const { key } of before.services.changesTo(resources.services)) {
    addAll(work.targets, memo.serviceUsers.get(key))
    if (meter.spend(1)) yield
  }
  for (const { key } of before.endpointSlices.changesTo(resources.endpointSlices)) {
    addAll(work.endpoints, memo.serviceUsers.get(key))
    if (meter.spend(1)) yield
  }
  yield* noteRefused(memo, before, resources, meter)
  yield* noteNamespaces(memo, before, resources, meter)
  if (!sameForRoutes(before.settings, resources.settings))
    for (const key of memo.routes.keys()) {
      work.routes.add(key)
      if (meter.spend(1)) yield
    }
}

function* noteRefused(memo: CompileMemo, before: ResourceSet, after: ResourceSet, meter: Meter): Generator<void, void> {
  const { work } = memo
  for (const change of before.refused.changesTo(after.refused)) {
    const { kind, key } = (change.after ?? change.before)!
    if (kind === 'Route' || kind === 'Backend') work.statuses.add(refusedKey(kind, key))
    if (kind === 'Backend') work.targets.add(key)
    if (kind === 'Service') addAll(work.targets, memo.serviceUsers.get(key))
    if (meter.spend(1)) yield
  }
}

/** Labels decide what a delegates entry with a selector lets in. */
function* noteNamespaces(
  memo: CompileMemo,
  before: ResourceSet,
  after: ResourceSet,
  meter: Meter,
): Generator<void, void> {
  const labelled = [...before.namespaces.changesTo(after.namespaces)].some(
    ({ before: old, after: now }) => !isDeepStrictEqual(old?.object.metadata.labels, now?.object.metadata.labels),
  )
  if (!labelled) return
  for (const host of memo.hosts.values()) {
    if (host.ownership?.lead.delegates.some(({ namespaces }) => namespaces.from === 'Selector'))
      memo.work.hosts.add(host.hostname)
    if (meter.spend(1)) yield
  }
}

function sameForRoutes(a: SettingsObject, b: SettingsObject): boolean {
  return (
    a === b ||
    (isDeepStrictEqual(a.ingressClass, b.ingressClass) &&
      isDeepStrictEqual(a.policies, b.policies) &&
      isDeepStrictEqual(
        a.listeners.map((listener) => listener.name),
        b.listeners.map((listener) => listener.name),
      ))
  )
}

function addAll(to: Set<string>, from: Iterable<string> | undefined): void {
  if (from !== undefined) for (const one of from) to.add(one)
}
