/**
 * Finds a credential in a request, and takes it out so that no backend sees it. A credential that is there twice is
 * none: two readers could take a different one each (RFC 6750 §2 forbids it to clients).
 */
import { looseName } from '../../message/fields.ts'
import { decodeFormText } from '../../pattern/query.ts'
import type { DryExchange } from '../exchange.ts'

type Request = Pick<DryExchange, 'query' | 'request'>

/** Exactly one of `header`, `cookie` and `query`. */
export interface CredentialPlace {
  /** Lower case. */
  readonly header?: string
  /** Word before the credential, compared without case (RFC 9110 §11.1). */
  readonly scheme?: string
  readonly cookie?: string
  readonly query?: string
}

/** A place as it is searched, with what would otherwise be made for each request. */
export interface SearchedPlace extends CredentialPlace {
  /** Of `header`; see {@link looseName}. */
  readonly looseHeader: string
  /** In lower case. */
  readonly schemePrefix: string
}

export interface FoundCredential {
  readonly text: string
  readonly place: SearchedPlace
}

export function searchedPlace(place: CredentialPlace): SearchedPlace {
  const { header = '', scheme = '' } = place
  return { ...place, looseHeader: looseName(header), schemePrefix: scheme.toLowerCase() }
}

/** @returns undefined where there is none; `'several'` where there is more than one, in one place or in two */
export function findCredential(x: Request, places: readonly SearchedPlace[]): FoundCredential | 'several' | undefined {
  let found: FoundCredential | undefined
  for (const place of places) {
    const texts = textsAt(x, place)
    if (texts.length === 0) continue
    if (texts.length > 1 || found !== undefined) return 'several'
    found = { text: texts[0]!, place }
  }
  return found
}

function textsAt(x: Request, place: SearchedPlace): readonly string[] {
  const { header, cookie, query } = place
  if (header !== undefined) return headerTexts(x, header, place.schemePrefix)
  if (cookie !== undefined) return x.request.all('cookie').flatMap((field) => cookieTexts(field, cookie))
  return x.query === undefined ? NONE : queryTexts(x.query, query!)
}

const NONE: readonly string[] = []

/** Of a field with a scheme only those that have it: another scheme is another credential. */
function headerTexts(x: Request, name: string, scheme: string): readonly string[] {
  const fields = x.request.all(name)
  if (scheme === '' || fields.length === 0) return fields
  if (fields.length === 1) {
    const text = textBehind(fields[0]!, scheme)
    return text === undefined ? NONE : [text]
  }
  // A second field of another scheme makes it just as open which one a backend would have taken.
  const begins = fields.some((field) => textBehind(field, scheme) !== undefined)
  return begins ? fields.map((field) => textBehind(field, scheme) ?? '') : NONE
}

/** @param scheme in lower case */
function textBehind(field: string, scheme: string): string | undefined {
  const { length } = scheme
  if (field.length < length || field.slice(0, length).toLowerCase() !== scheme) return undefined
  if (field.length === length) return ''
  return field.charCodeAt(length) === 0x20 ? field.slice(length + 1).trim() : undefined
}

function cookieTexts(field: string, name: string): string[] {
  const texts: string[] = []
  for (const pair of field.split(';')) {
    const equals = pair.indexOf('=')
    // Servers cut white space around the name too (RFC 6265 §5.2).
    if (equals >= 0 && pair.slice(0, equals).trim() === name) texts.push(pair.slice(equals + 1).trim())
  }
  return texts
}

function queryTexts(query: string, name: string): string[] {
  const texts: string[] = []
  for (const part of query.split('&')) {
    const equals = part.indexOf('=')
    const end = equals === -1 ? part.length : equals
    if (part !== '' && decodeFormText(part.slice(0, end)) === name) texts.push(decodeFormText(part.slice(end + 1)))
  }
  return texts
}

/**
 * Takes out whatever stands in a place, also of another scheme or twice.
 *
 * @param found where it is known that there is a credential
 */
export function removeCredentials(x: Request, place: SearchedPlace, found: boolean): void {
  const { header, schemePrefix, cookie, query } = place
  if (header !== undefined) {
    if (found || schemePrefix === '' || headerTexts(x, header, schemePrefix).length > 0)
      x.request.removeLoosely(place.looseHeader)
  } else if (cookie !== undefined) removeCookie(x, cookie)
  else if (x.query !== undefined && queryTexts(x.query, query!).length > 0) {
    const kept = x.query.split('&').filter((part) => queryTexts(part, query!).length === 0)
    x.query = kept.length === 0 ? undefined : kept.join('&')
  }
}

/** Leaves the credential that was judged, and no other spelling of its field that a backend may take for it. */
export function keepCredential(x: Request, { text, place }: FoundCredential): void {
  const { header, scheme } = place
  if (header === undefined || /^[a-z0-9]+$/.test(header)) return
  const value = scheme === undefined ? text : `${scheme} ${text}`
  x.request.removeLoosely(place.looseHeader)
  x.request.add(header, value)
}

function removeCookie(x: Request, name: string): void {
  const fields = x.request.all('cookie')
  if (fields.every((field) => cookieTexts(field, name).length === 0)) return
  const kept = fields
    .flatMap((field) => field.split(';'))
    .filter((pair) => pair.trim() !== '' && cookieTexts(pair, name).length === 0)
  x.request.remove('cookie')
  if (kept.length > 0) x.request.add('cookie', kept.map((pair) => pair.trim()).join('; '))
}

export function samePlace(a: CredentialPlace, b: CredentialPlace): boolean {
  return (
    a.header === b.header &&
    a.cookie === b.cookie &&
    a.query === b.query &&
    a.scheme?.toLowerCase() === b.scheme?.toLowerCase()
  )
}

export function inLowerCase(place: CredentialPlace): CredentialPlace {
  return place.header === undefined ? place : { ...place, header: place.header.toLowerCase() }
}
