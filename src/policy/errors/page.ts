/** `errors`: what a user writes, and what of it a worker gets. */
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
  readonly codes: readonly (readonly [number, number])[]
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
    codes: codes.map(rangeOf),
    source: source ?? 'Gateway',
    contentType: contentType ?? DEFAULT_TYPE,
    body: bodyRef === undefined ? (body ?? '') : { content: contentOf(bodyRef, namespace) },
  }
}

function rangeOf(code: string): readonly [number, number] {
  const first = Number(code.slice(0, 3))
  return [first, code.length === 3 ? first : Number(code.slice(4))]
}

function contentOf({ configMapName, key }: NonNullable<ErrorPage['bodyRef']>, namespace: string | undefined): string {
  if (namespace === undefined) throw new TypeError('a page of the settings cannot stand in a ConfigMap')
  return contentId({ kind: 'ConfigMap', namespace, name: configMapName, key })
}

/** Rejects references outside of Routes: the settings have no namespace in which to find a ConfigMap. */
export function checkPages(pages: readonly ErrorPage[], place: PolicyPlace): readonly PolicyProblem[] {
  if (place === 'Route') return []
  return pages.flatMap(({ bodyRef }, i) =>
    bodyRef === undefined
      ? []
      : [
          {
            path: [i, 'bodyRef'],
            message: 'names a ConfigMap in the namespace of a Route; in the settings write body',
          },
        ],
  )
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
