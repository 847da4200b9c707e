/** `errors`: what a user writes, and what of it a worker gets. */
import { type StatusRange, statusRange, statusRangeFault } from '../../lib/status-range.ts'
import { contentId } from '../contents.ts'
import type { PolicyPlace, PolicyProblem, PolicyReference } from '../definition.ts'

/** `body`, or `bodyRef`. */
export interface ErrorPage {
  /** Statuses 400 to 599, or ranges of them: `404`, `502-504`. */
  readonly codes: readonly string[]
  readonly source?: ErrorSource
  readonly contentType?: string
  readonly body?: string
  readonly bodyRef?: { readonly configMapName: string; readonly key: string }
}

/** `Gateway`: refusals of the gateway itself. `Backend`: responses of backends. */
export type ErrorSource = 'Gateway' | 'Backend' | 'Any'

export interface PagePlan {
  /** First and last status of each range. */
  readonly codes: readonly StatusRange[]
  readonly source: ErrorSource
  readonly contentType: string
  readonly body: string | { readonly content: string }
}

const DEFAULT_TYPE = 'text/plain; charset=utf-8'

export function planPages(pages: readonly ErrorPage[], namespace: string | undefined): readonly PagePlan[] | undefined {
  return pages.length === 0 ? undefined : pages.map((page) => planPage(page, namespace))
}

function planPage({ codes, source, contentType, body, bodyRef }: ErrorPage, namespace: string | undefined): PagePlan {
  return {
    codes: codes.map(statusRange),
    source: source ?? 'Gateway',
    contentType: contentType ?? DEFAULT_TYPE,
    body: bodyRef === undefined ? (body ?? '') : { content: contentOf(bodyRef, namespace) },
  }
}

function contentOf({ configMapName, key }: NonNullable<ErrorPage['bodyRef']>, namespace: string | undefined): string {
  if (namespace === undefined) throw new TypeError('a page of the settings cannot stand in a ConfigMap')
  return contentId({ kind: 'ConfigMap', namespace, name: configMapName, key })
}

/** Ranges, and references outside of Routes: the settings have no namespace in which to find a ConfigMap. */
export function checkPages(pages: readonly ErrorPage[], place: PolicyPlace): readonly PolicyProblem[] {
  return pages.flatMap(({ codes, bodyRef }, i) => {
    const problems: PolicyProblem[] = codes.flatMap((code, j) => {
      const message = statusRangeFault(code)
      return message === undefined ? [] : [{ path: [i, 'codes', j], message }]
    })
    if (place !== 'Route' && bodyRef !== undefined)
      problems.push({
        path: [i, 'bodyRef'],
        message: 'names a ConfigMap in the namespace of a Route; in the settings write body',
      })
    return problems
  })
}

export function* pageReferences(value: unknown): Generator<PolicyReference> {
  if (!Array.isArray(value)) return
  for (const [i, page] of value.entries()) {
    const ref = (page as Partial<ErrorPage> | null | undefined)?.bodyRef as unknown
    const { configMapName, key } = (ref ?? {}) as { readonly configMapName?: unknown; readonly key?: unknown }
    if (typeof configMapName === 'string' && typeof key === 'string')
      yield { path: [i, 'bodyRef'], kind: 'ConfigMap', name: configMapName, key }
  }
}
