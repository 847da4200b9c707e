/**
 * Puts a page in place of the body of an error response. The status stays, and so does whatever else the head says, but
 * for what described the body that is dropped (RFC 9110 §8) or made it part of a range or of a cache's validation.
 */
import { removeBodyFields } from '../../message/body-fields.ts'
import type { ResponseHead } from '../../message/head.ts'
import type { LocalResponse } from '../../message/local-response.ts'
import type { Contents } from '../contents.ts'
import type { Filter, ResponseDecision } from '../filter.ts'
import type { FilterServices } from '../services.ts'
import type { ErrorSource, PagePlan } from './page.ts'

/** Bytes of a page; one that is larger is not sent. As large as a ConfigMap may be. */
export const MAX_PAGE_BYTES = 1_048_576

interface Page {
  readonly plan: PagePlan
  /** Null: it stands in a ConfigMap. */
  readonly bytes: Uint8Array | null
}

/** What is sent together is one object here: the pages of a layer are kept once, however many rules have them. */
const PAGES = new WeakMap<PagePlan, Page>()

export function errorPages(plans: readonly PagePlan[], { contents }: FilterServices): Filter {
  const pages = plans.map(pageOf)
  return {
    name: 'errors',
    onResponse: (_x, head, local) => (head.status < 400 ? undefined : choose(pages, contents, head, local)),
    explain: () => ({ filter: 'errors', effect: plans.map(describe).join(', ') }),
  }
}

function pageOf(plan: PagePlan): Page {
  let page = PAGES.get(plan)
  if (page === undefined) {
    page = { plan, bytes: typeof plan.body === 'string' ? Buffer.from(plan.body, 'utf8') : null }
    PAGES.set(plan, page)
  }
  return page
}

/** The first page that fits decides, also where its ConfigMap is missing: then the response goes out as it was. */
function choose(
  pages: readonly Page[],
  contents: Contents,
  head: ResponseHead,
  local: LocalResponse | null,
): ResponseDecision {
  const page = pages.find(({ plan }) => fits(plan, head.status, local))
  if (page === undefined) return undefined
  const { body, contentType } = page.plan
  const bytes = page.bytes ?? contents.get((body as { readonly content: string }).content)
  if (bytes === undefined || bytes.length > MAX_PAGE_BYTES) return undefined
  const { status, fields } = head
  // Of an upstream's response they point into a buffer that the next read writes over.
  fields.detach()
  removeBodyFields(fields)
  fields.set('content-type', contentType)
  const reason = local?.reason
  return { type: 'replace', response: { status, fields, body: bytes, ...(reason === undefined ? {} : { reason }) } }
}

function fits({ codes, source }: PagePlan, status: number, given: LocalResponse | null): boolean {
  const local = given?.ofBackend === true ? null : given
  // What a rule answers by `respond` is neither: its author wrote the body.
  if (local === null ? source === 'Gateway' : source === 'Backend' || local.reason === undefined || local.verbatim)
    return false
  return codes.some(([first, last]) => first <= status && status <= last)
}

const WHOSE: Readonly<Record<ErrorSource, string>> = { Gateway: 'of the gateway', Backend: 'of a backend', Any: '' }

function describe({ codes, source, contentType, body }: PagePlan): string {
  const statuses = codes.map(([first, last]) => (first === last ? first : `${first}-${last}`)).join(', ')
  const page = typeof body === 'string' ? `${Buffer.byteLength(body)} bytes of ${contentType}` : `${body.content}`
  return `replaces the body of ${`${statuses} ${WHOSE[source]}`.trim()} by ${page}`
}
