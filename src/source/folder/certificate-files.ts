/**
 * Files of certificates as Secrets of TLS: `NAME.crt` with `NAME.key` is Secret NAME, `NAME.ca.crt` is NAME-ca with
 * authorities, `NAME.crl` is NAME-crl with revocation lists. Without a name of their own, as in a mounted Secret
 * (`tls.crt` with `tls.key`, `ca.crt`, `ca.crl`), they have that of their folder. A Secret is in the namespace of the
 * manifests in the nearest folder from there upwards that has some; in `default` where these are of several namespaces.
 */
import { basename, dirname, join } from 'node:path'
import { isSubdomain } from '../../api/metadata.ts'
import { CA_SECRET, CRL_SECRET, TLS_SECRET } from '../../policy/secret-types.ts'
import type { Definition } from './definition.ts'
import { displayPath } from './display-path.ts'
import { isCertificatePart } from './file-name.ts'

/** The files of one Secret. */
interface Form {
  readonly type: string
  /** By the key of the Secret: how the name of the file ends. */
  readonly endings: Readonly<Record<string, string>>
  /** Stands for the name where the name of the file is nothing but its ending, or this before it. */
  readonly nameless: string
  /** What is added to the name. */
  readonly suffix: string
  /** The name in the folder that is served, which gives none. */
  readonly inRoot: string
}

const PAIR: Form = {
  type: TLS_SECRET.type,
  endings: { [TLS_SECRET.certificate]: '.crt', [TLS_SECRET.key]: '.key' },
  nameless: 'tls',
  suffix: '',
  inRoot: 'tls',
}
const AUTHORITIES: Form = {
  type: CA_SECRET.type,
  endings: { [CA_SECRET.key]: '.ca.crt' },
  nameless: '',
  suffix: '-ca',
  inRoot: 'ca',
}
const LISTS: Form = {
  type: CRL_SECRET.type,
  endings: { [CRL_SECRET.key]: '.crl' },
  nameless: 'ca',
  suffix: '-crl',
  inRoot: 'crl',
}

interface Place {
  readonly form: Form
  readonly folder: string
  /** Of the file, without its ending. */
  readonly own: string
  /** Of the Secret. */
  readonly key: string
}

function placeOf(path: string): Place {
  const folder = dirname(path)
  const file = basename(path)
  if (file === 'ca.crt') return { form: AUTHORITIES, folder, own: '', key: CA_SECRET.key }
  for (const form of [AUTHORITIES, LISTS, PAIR])
    for (const [key, ending] of Object.entries(form.endings))
      if (file.endsWith(ending)) return { form, folder, own: file.slice(0, -ending.length), key }
  throw new TypeError(`${path} is no part of a certificate`)
}

/** Removes files without the other one of their pair, of which nothing is read. @returns what each lacks */
export function dropUnpaired(files: Map<string, unknown>): { readonly path: string; readonly message: string }[] {
  const found: { path: string; message: string }[] = []
  for (const path of files.keys()) {
    if (!isCertificatePart(path)) continue
    const { form, folder, own } = placeOf(path)
    if (form !== PAIR) continue
    const file = basename(path)
    const other = file.endsWith('.crt') ? `${own}.key` : `${own}.crt`
    if (other === 'ca.crt' || !files.has(join(folder, other))) found.push({ path, message: unpaired(file, other) })
  }
  for (const { path } of found) files.delete(path)
  return found
}

function unpaired(file: string, other: string): string {
  if (other === 'ca.crt') return `The private key ${file} is not read: ca.crt is a file of authorities. Remove the key.`
  const begin = `${file} is not read, since there is no ${other} beside it: the two make a Secret. Add ${other}`
  return other.endsWith('.crt')
    ? `${begin}.`
    : `${begin}, or name the file ${other.slice(0, -4)}.ca.crt if it has authorities.`
}

interface Files {
  readonly place: Place
  /** By the key of the Secret, in Base64. */
  readonly parts: Map<string, string>
  /** All of them, while they are as they are. */
  data: Readonly<Record<string, string>> | undefined
  /** As last told; undefined = nothing. */
  definition: Definition | undefined
}

export class CertificateFiles {
  readonly #root: string
  /** By the path that stands for the Secret. */
  readonly #secrets = new Map<string, Files>()

  /** @param root the folder that is read */
  constructor(root: string) {
    this.#root = root
  }

  /** @param text undefined = the file is gone */
  set(path: string, text: string | undefined): void {
    const place = placeOf(path)
    const { form, folder, own, key } = place
    const known = form === PAIR ? join(folder, `${own}.crt`) : path
    const files = this.#secrets.get(known) ?? { place, parts: new Map(), data: undefined, definition: undefined }
    this.#secrets.set(known, files)
    if (text === undefined) files.parts.delete(key)
    else files.parts.set(key, base64(text))
    files.data = undefined
  }

  /**
   * What is another than last time: display path of the file that stands for the Secret, and the Secret, if there is
   * one.
   *
   * @param manifests by path: what is defined in each file
   */
  *changes(
    manifests: Iterable<readonly [string, { readonly definitions: readonly Definition[] }]>,
  ): Generator<readonly [string, readonly Definition[]]> {
    if (this.#secrets.size === 0) return
    const namespaces = namespacesByFolder(manifests, this.#foldersAbove())
    for (const [path, files] of this.#secrets) {
      const file = displayPath(path)
      const { definition: before } = files
      const now = this.#definitionOf(files, file, this.#namespaceOf(files.place.folder, namespaces))
      if (files.parts.size === 0) this.#secrets.delete(path)
      if (before === now) continue
      files.definition = now
      yield [file, now === undefined ? [] : [now]]
    }
  }

  #definitionOf(files: Files, file: string, namespace: string): Definition | undefined {
    const { place, parts, definition } = files
    const name = this.#nameOf(place)
    const { type, endings } = place.form
    if (parts.size < Object.keys(endings).length || name === undefined) return undefined
    files.data ??= Object.fromEntries(parts)
    const { data } = files
    const id = `${namespace}/${name}`
    if (definition?.key === id && (definition.raw as { readonly data: unknown }).data === data) return definition
    const raw = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, type, data }
    return { kind: 'Secret', key: id, raw, file, line: 1, text: '', textLine: 0, base: [], bytes: 0 }
  }

  #foldersAbove(): ReadonlySet<string> {
    const folders = new Set<string>()
    for (const { place } of this.#secrets.values())
      for (let at = place.folder; !folders.has(at); at = dirname(at)) {
        folders.add(at)
        if (at === this.#root) break
      }
    return folders
  }

  #namespaceOf(folder: string, namespaces: ReadonlyMap<string, ReadonlySet<string>>): string {
    for (let at = folder; ; at = dirname(at)) {
      const found = namespaces.get(at)
      if (found?.size === 1) return [...found][0]!
      if (found !== undefined || at === this.#root || at === dirname(at)) return 'default'
    }
  }

  /** Undefined where it would be no name of a Secret. */
  #nameOf({ form, folder, own }: Place): string | undefined {
    const { nameless, suffix } = form
    const named = own !== '' && own !== nameless
    const name = named ? own + suffix : folder === this.#root ? form.inRoot : basename(folder) + suffix
    return isSubdomain(name) ? name : undefined
  }
}

function namespacesByFolder(
  manifests: Iterable<readonly [string, { readonly definitions: readonly Definition[] }]>,
  folders: ReadonlySet<string>,
): ReadonlyMap<string, ReadonlySet<string>> {
  const namespaces = new Map<string, Set<string>>()
  for (const [path, { definitions }] of manifests) {
    const folder = dirname(path)
    if (!folders.has(folder)) continue
    for (const { key } of definitions) {
      // Of a kind without namespaces.
      if (key.startsWith('/')) continue
      const known = namespaces.get(folder)
      if (known === undefined) namespaces.set(folder, new Set([key.slice(0, key.indexOf('/'))]))
      else known.add(key.slice(0, key.indexOf('/')))
    }
  }
  return namespaces
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
