/**
 * Pairs of files as Secrets of type kubernetes.io/tls: `NAME.crt` with `NAME.key` is Secret NAME, and `tls.crt` with
 * `tls.key`, as a mounted Secret has them, is a Secret of its folder's name. It is in the namespace of the manifests in
 * the nearest folder from there upwards that has some; in `default` where these are of several namespaces.
 */
import { basename, dirname } from 'node:path'
import { isSubdomain } from '../../api/metadata.ts'
import { TLS_SECRET } from '../../policy/secret-types.ts'
import type { Definition } from './definition.ts'
import { displayPath } from './display-path.ts'

const EXTENSION = /\.(crt|key)$/

interface Pair {
  crt: string | undefined
  key: string | undefined
  /** Both in Base64, while they are as they are. */
  data: Readonly<Record<string, string>> | undefined
  /** As last told; undefined = nothing. */
  definition: Definition | undefined
}

/** Files without the other one of their pair: nothing of them is read. */
export function dropUnpaired(files: Map<string, unknown>): void {
  for (const path of files.keys()) {
    const extension = EXTENSION.exec(path)?.[1]
    if (extension !== undefined && !files.has(path.replace(EXTENSION, extension === 'crt' ? '.key' : '.crt')))
      files.delete(path)
  }
}

export class CertificateFiles {
  readonly #root: string
  /** By path without extension. */
  readonly #pairs = new Map<string, Pair>()

  /** @param root the folder that is read */
  constructor(root: string) {
    this.#root = root
  }

  /** @param text undefined = the file is gone */
  set(path: string, text: string | undefined): void {
    const stem = path.replace(EXTENSION, '')
    const pair = this.#pairs.get(stem) ?? { crt: undefined, key: undefined, data: undefined, definition: undefined }
    this.#pairs.set(stem, pair)
    pair[path.endsWith('.crt') ? 'crt' : 'key'] = text
    pair.data = undefined
  }

  /**
   * What is another than last time: display path of the certificate, and the Secret, if there is one.
   *
   * @param manifests by path: what is defined in each file
   */
  *changes(
    manifests: Iterable<readonly [string, { readonly definitions: readonly Definition[] }]>,
  ): Generator<readonly [string, readonly Definition[]]> {
    if (this.#pairs.size === 0) return
    const namespaces = namespacesByFolder(manifests, this.#foldersAbovePairs())
    for (const [stem, pair] of this.#pairs) {
      const file = displayPath(`${stem}.crt`)
      const { definition: before } = pair
      const now = this.#definitionOf(stem, pair, file, this.#namespaceOf(dirname(stem), namespaces))
      if (pair.crt === undefined && pair.key === undefined) this.#pairs.delete(stem)
      if (before === now) continue
      pair.definition = now
      yield [file, now === undefined ? [] : [now]]
    }
  }

  #definitionOf(stem: string, pair: Pair, file: string, namespace: string): Definition | undefined {
    const { crt, key, definition } = pair
    const name = this.#nameOf(stem)
    if (crt === undefined || key === undefined || name === undefined) return undefined
    pair.data ??= { [TLS_SECRET.certificate]: base64(crt), [TLS_SECRET.key]: base64(key) }
    const { data } = pair
    const id = `${namespace}/${name}`
    if (definition?.key === id && (definition.raw as { readonly data: unknown }).data === data) return definition
    const raw = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, type: TLS_SECRET.type, data }
    return { kind: 'Secret', key: id, raw, file, line: 1, text: '', textLine: 0, base: [] }
  }

  #foldersAbovePairs(): ReadonlySet<string> {
    const folders = new Set<string>()
    for (const stem of this.#pairs.keys())
      for (let at = dirname(stem); !folders.has(at); at = dirname(at)) {
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
  #nameOf(stem: string): string | undefined {
    const folder = dirname(stem)
    const own = basename(stem)
    const name = own === 'tls' && folder !== this.#root ? basename(folder) : own
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
