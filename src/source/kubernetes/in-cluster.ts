/** Credentials of a pod: the token and CA of its ServiceAccount, which the kubelet mounts and rotates. */
import { X509Certificate } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { join } from 'node:path'
import type { Milliseconds } from '../../lib/clock.ts'
import { readText } from '../read-text.ts'
import type { Access, Credentials } from './credentials.ts'

const FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount'

/** A token is valid for an hour and rotated after 80 % of it, so this interval notices the new one in time. */
const REREAD: Milliseconds = 60_000

const MAX_BYTES = 1_048_576

export interface InClusterOptions {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Directory where token, CA and namespace are mounted. */
  readonly folder?: string
  /** Monotonic. */
  readonly now: () => Milliseconds
  readonly reread?: Milliseconds
}

/** Address of the API server from the environment that the kubelet sets; undefined outside a cluster. */
export function inClusterServer(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = environment
  if (!host || !port) return undefined
  return `https://${isIPv6(host) ? `[${host}]` : host}:${port}`
}

/** Namespace of this pod; undefined where none is mounted. */
export async function podNamespace(folder = FOLDER): Promise<string | undefined> {
  const read = await readText(join(folder, 'namespace'), MAX_BYTES)
  return read.ok ? read.text.trim() || undefined : undefined
}

export class InClusterCredentials implements Credentials {
  readonly #server: string
  readonly #folder: string
  readonly #now: () => Milliseconds
  readonly #reread: Milliseconds
  #token: string | undefined
  #ca: string | undefined
  #access: Access | undefined
  #readAt = Number.NEGATIVE_INFINITY
  #reading: Promise<Access> | undefined

  /** @throws {TypeError} outside a cluster, see {@link inClusterServer} */
  constructor({ environment, folder = FOLDER, now, reread = REREAD }: InClusterOptions) {
    const server = inClusterServer(environment)
    if (server === undefined) throw new TypeError('KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set')
    this.#server = server
    this.#folder = folder
    this.#now = now
    this.#reread = reread
  }

  access(): Promise<Access> {
    if (this.#access !== undefined && this.#now() - this.#readAt < this.#reread) return Promise.resolve(this.#access)
    // Concurrent callers share one read.
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  unauthorized(access: Access): void {
    // A 401 for an older token says nothing about the current one.
    if (access === this.#access) this.#readAt = Number.NEGATIVE_INFINITY
  }

  async #read(): Promise<Access> {
    const [token, ca] = await Promise.all([this.#file('token'), this.#file('ca.crt')])
    const before = { token: this.#token, ca: this.#ca }
    if (token !== undefined && isToken(token)) this.#token = token
    if (ca !== undefined && holdsCertificates(ca)) this.#ca = ca
    if (this.#token === undefined || this.#ca === undefined) {
      const missing = this.#token === undefined ? 'token' : 'ca.crt'
      const wrong = (missing === 'token' ? token : ca) === undefined ? 'cannot be read' : 'holds nothing usable'
      throw new Error(`${join(this.#folder, missing)} ${wrong}; the pod needs a ServiceAccount whose token is mounted`)
    }
    this.#readAt = this.#now()
    // The same object while nothing changes: `unauthorized` compares by identity.
    if (this.#access === undefined || before.token !== this.#token || before.ca !== this.#ca)
      this.#access = {
        server: this.#server,
        tls: { ca: this.#ca },
        headers: { authorization: `Bearer ${this.#token}` },
      }
    return this.#access
  }

  async #file(name: string): Promise<string | undefined> {
    const read = await readText(join(this.#folder, name), MAX_BYTES)
    return read.ok ? read.text.trim() : undefined
  }
}

/** Whether the text is valid in a header field; anything else is a partially written file. */
function isToken(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text)
}

/** Every block must parse: a truncated bundle would reject servers that the missing CAs signed. */
function holdsCertificates(pem: string): boolean {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0 || blocks.length !== pem.split('-----BEGIN CERTIFICATE-----').length - 1) return false
  try {
    for (const block of blocks) new X509Certificate(block)
    return true
  } catch {
    return false
  }
}
