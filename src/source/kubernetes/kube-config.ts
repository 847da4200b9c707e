/** Credentials from a kubeconfig (exec plugins, OIDC, certificates), for use outside a cluster. */
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import type { Access, Credentials } from './credentials.ts'

export interface KubeConfigOptions {
  /** Default: `KUBECONFIG`, then `~/.kube/config`. */
  readonly file?: string
  /** Default: the file's current context. */
  readonly context?: string
  readonly time: TimerClock
}

/** Interval at which certificate files are read again. Tokens of plugins are cached until they expire. */
const REREAD: Milliseconds = 60_000

/** Bounds a plugin that waits for user input. */
const SIGN_IN_TIMEOUT: Milliseconds = 60_000

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

  /** Namespace of the context, if it names one. */
  async namespace(): Promise<string | undefined> {
    const config = await this.#load()
    return config.getContextObject(config.getCurrentContext())?.namespace
  }

  access(): Promise<Access> {
    if (this.#access !== undefined && this.#options.time.monotonic() - this.#askedAt < REREAD)
      return Promise.resolve(this.#access)
    this.#asking ??= within(this.#resolve(), SIGN_IN_TIMEOUT, this.#options.time).finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  unauthorized(access: Access): void {
    if (access !== this.#access) return
    // Load again, so that a plugin is called although its last credentials have not expired.
    this.#loaded = undefined
    this.#askedAt = Number.NEGATIVE_INFINITY
  }

  async #resolve(): Promise<Access> {
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
    // The import costs a second and 80 MB, which is acceptable only outside a cluster.
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
      `the proxy ${cluster.proxyUrl} of the kubeconfig is of a kind that is not supported; use an HTTP proxy`,
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
    reject(new Error(`authentication by the kubeconfig took over ${longest / 1_000} s`)),
  )
  try {
    return await Promise.race([answer, late])
  } finally {
    cancel()
  }
}
