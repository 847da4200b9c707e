/** Sections as lists of names and values, as tests compare them. */
import { HeaderSection, type SectionKind } from '../../src/http/header-section.ts'
import type { HpackDecoder } from '../../src/http/hpack-decoder.ts'
import type { Decoding } from '../../src/http/section-builder.ts'

export type List = readonly (readonly [name: string, value: string])[]

export const LIMITS = { head: 65_536, headers: 200, uri: 16_384 }

export interface DecodedList {
  readonly result: Decoding
  readonly fault: string
  /** Pseudo-header fields first, in the order of the section's properties. */
  readonly list: List
}

/** Decodes a block between other bytes, which are overwritten afterwards, as those of a read buffer are. */
export function decodeList(decoder: HpackDecoder, block: Buffer, kind: SectionKind, limits = LIMITS): DecodedList {
  const section = new HeaderSection()
  const bytes = Buffer.concat([Buffer.from('\x82\x83', 'latin1'), block, Buffer.from('\x82\x83', 'latin1')])
  const result = decoder.decode(bytes, 2, 2 + block.length, kind, limits, section)
  bytes.fill(0xff)
  if (!section.lasting) section.fields.detach()
  return { result, fault: section.fault, list: result === 0 ? listOf(section) : [] }
}

export function listOf(section: HeaderSection): List {
  const list: (readonly [string, string])[] = []
  if (section.method !== undefined) list.push([':method', section.method])
  if (section.scheme !== undefined) list.push([':scheme', section.scheme])
  if (section.authority !== undefined) list.push([':authority', section.authority])
  if (section.path !== undefined) list.push([':path', section.path])
  if (section.protocol !== undefined) list.push([':protocol', section.protocol])
  if (section.status !== 0) list.push([':status', String(section.status)])
  section.fields.forEach((name, value) => void list.push([name, value]))
  return list
}

const PSEUDO_ORDER = [':method', ':scheme', ':authority', ':path', ':protocol', ':status']

/** As {@link listOf} gives a list: pseudo-header fields in order, and Cookie as one field. */
export function expectedList(list: List, joined: boolean): List {
  const pseudo = PSEUDO_ORDER.flatMap((name) => list.filter((field) => field[0] === name))
  const fields = list.filter(([name]) => !name.startsWith(':'))
  const cookies = fields.filter(([name]) => name === 'cookie').map(([, value]) => value)
  if (!joined || cookies.length < 2) return [...pseudo, ...fields]
  const first = fields.findIndex(([name]) => name === 'cookie')
  const adjacent = fields.slice(first, first + cookies.length).every(([name]) => name === 'cookie')
  const rest = fields.filter(([name]) => name !== 'cookie')
  const cookie = ['cookie', cookies.join('; ')] as const
  return adjacent ? [...pseudo, ...rest.slice(0, first), cookie, ...rest.slice(first)] : [...pseudo, ...rest, cookie]
}
