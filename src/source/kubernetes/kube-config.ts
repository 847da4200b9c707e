/** Credentials from a kubeconfig, with exec plugins, OIDC and certificates. For machines outside a cluster. */
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import type { Access, Credentials } from './credentials.ts'

export interface KubeConfigOptions {
  /** None = `KUBECONFIG`, then `~/.kube/config`. */
  readonly file?: string
  /** None = the file's current one. */
  readonly context?: string
  readonly time: TimerClock
}

/** Tokens of plugins are cached by their own expiry; this bounds how often certificates in files are looked at. */
const REREAD: Milliseconds = 60_000

/** A plugin that waits for a person is not waited for. */
const LONGEST: Milliseconds = 60_000

type Loaded = InstanceType<typeof import('@kubernetes/client-node')['KubeConfig']>

export class KubeConfigCredentials implements Credentials {
  readonly #options: KubeConfigOptions
  #loaded: Loaded | undefined
  #access: Access | undefined
  #askedAt = Number.NEGATIVE_INFINITY
  #asking: Promise<Access> | undefined

  constructor(options: KubeConfigOptions) {
    this.#options = options
  }

  /** Namespace of the context; undefined where it names none. */
  async namespace(): Promise<string | undefined> {
    const config = await this.#load()
    return config.getContextObject(config.getCurrentContext())?.namespace
  }

  access(): Promise<Access> {
    if (this.#access !== undefined && this.#options.time.monotonic() - this.#askedAt < REREAD)
      return Promise.resolve(this.#access)
    this.#asking ??= within(this.#ask(), LONGEST, this.#options.time).finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  refused(access: Access): void {
    if (access !== this.#access) return
    // Read anew, so that a plugin is asked again although what it gave has not expired.
    this.#loaded = undefined
    this.#askedAt = Number.NEGATIVE_INFINITY
  }

  async #ask(): Promise<Access> {
    try {
      const fresh = await read(await this.#load())
      this.#askedAt = this.#options.time.monotonic()
      if (this.#access === undefined || JSON.stringify(fresh) !== JSON.stringify(this.#access)) this.#access = fresh
    } catch (error) {
      if (this.#access === undefined) throw error
    }
    return this.#access
  }

  async #load(): Promise<Loaded> {
    if (this.#loaded !== undefined) return this.#loaded
    // A second and 80 MB: only here, where nobody serves a cluster's traffic.
    const { KubeConfig } = await import('@kubernetes/client-node')
    const { file, context } = this.#options
    const config = new KubeConfig()
    if (file === undefined) config.loadFromDefault()
    else config.loadFromFile(file)
    if (context !== undefined) config.setCurrentContext(context)
    this.#loaded = config
    return config
  }
}

async function read(config: Loaded): Promise<Access> {
  const cluster = config.getCurrentCluster()
  if (cluster === null || !/^https?:\/\//.test(cluster.server ?? ''))
    throw new Error(
      `the kubeconfig has no server for its context "${config.getCurrentContext()}"; choose another with kubectl config use-context`,
    )
  if (cluster.proxyUrl !== undefined && !cluster.proxyUrl.startsWith('http'))
    throw new Error(
      `the proxy ${cluster.proxyUrl} of the kubeconfig is of a kind that is not supported; use an HTTP one`,
    )
  const plainText = cluster.server.startsWith('http:')
  const options: Parameters<Loaded['applyToHTTPSOptions']>[0] = {}
  // The library refuses plain HTTP (kubectl proxy) unless verification is off; there is nothing to verify.
  if (plainText) Object.assign(cluster, { skipTLSVerify: true })
  await config.applyToHTTPSOptions(options)
  const { ca, cert, key, servername, rejectUnauthorized, headers } = options as Readonly<Record<string, unknown>>
  return {
    server: cluster.server.replace(/\/+$/, ''),
    tls: plainText
      ? {}
      : {
          ...pem('ca', ca),
          ...pem('cert', cert),
          ...pem('key', key),
          ...(typeof servername === 'string' && { servername }),
          ...(rejectUnauthorized === false && { rejectUnauthorized }),
        },
    ...(cluster.proxyUrl !== undefined && { proxy: cluster.proxyUrl }),
    headers: lowerCased(headers),
  }
}

function pem<Name extends string>(name: Name, value: unknown): { readonly [N in Name]?: string } {
  if (value === undefined || value === null) return {}
  return { [name]: Buffer.isBuffer(value) ? value.toString('utf8') : String(value) } as { readonly [N in Name]: string }
}

function lowerCased(headers: unknown): Record<string, string> {
  if (typeof headers !== 'object' || headers === null) return {}
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]))
}

async function within<T>(answer: Promise<T>, longest: Milliseconds, time: Pick<TimerClock, 'after'>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const cancel = time.after(longest, () =>
    reject(new Error(`the kubeconfig's way to sign in took over ${longest / 1_000} s`)),
  )
  try {
    return await Promise.race([answer, late])
  } finally {
    cancel()
  }
}
