/**
 * A real `redis-server` of a test: alone, as a replica, or as a node of a cluster; with a password, with TLS; paused,
 * killed and started again at the same port. Test files that use it have `redis` in their name, so that test/run.ts
 * installs the program.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { freePort } from '../../bench/lib/free-port.ts'
import { mortal } from '../../bench/lib/mortal.ts'
import { find } from '../../bench/lib/programs.ts'

const PROGRAM = find('redis-server')

/** For `skip` of a test: false where there is one. */
export const NO_REDIS: string | false = PROGRAM === undefined ? 'redis-server is not installed' : false

export interface RedisServerOptions {
  /** Of the user `default`. */
  readonly password?: string
  /** Speaks TLS alone. PEM. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string }
  /** Port of its master, on the same host. */
  readonly replicaOf?: number
  readonly cluster?: boolean
  /** Further lines of its configuration. */
  readonly lines?: readonly string[]
  readonly sentinel?: boolean
}

/** What a server is ended with: a test, or the scope of a file. */
export interface Scope {
  after(end: () => void | Promise<void>): void
}

const HOST = '127.0.0.1'
const TRIES = 5

export class RedisServer {
  readonly host = HOST
  readonly port: number
  readonly #options: RedisServerOptions
  readonly #folder = mkdtempSync(join(tmpdir(), 'headgate-redis-'))
  #child: ChildProcess | null = null
  #admin: Redis | null = null

  private constructor(port: number, options: RedisServerOptions) {
    this.port = port
    this.#options = options
  }

  /** On a free port, ready to answer. */
  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    for (let tries = 1; ; tries++) {
      // Nodes of a cluster also need the port 10,000 above.
      const server = new RedisServer(await freePort(), options)
      try {
        await server.run()
        return server
      } catch (error) {
        // Somebody else took the port meanwhile.
        await server.stop()
        if (tries === TRIES) throw error
      }
    }
  }

  /** As {@link start}, until the end of `scope`. */
  static async of(scope: Scope, options?: RedisServerOptions): Promise<RedisServer> {
    const server = await RedisServer.start(options)
    scope.after(() => server.stop())
    return server
  }

  get address(): string {
    return `${this.host}:${this.port}`
  }

  /** A connection for the test itself; made on first use. */
  get admin(): Redis {
    const { password, tls } = this.#options
    this.#admin ??= new Redis({
      host: this.host,
      port: this.port,
      protocol: 2,
      disableClientInfo: true,
      ...(password === undefined ? {} : { password }),
      ...(tls === undefined ? {} : { tls: { ca: tls.ca } }),
    }).on('error', () => {})
    return this.#admin
  }

  /** Begins it, again after {@link kill}: empty, at the same port. */
  async run(): Promise<void> {
    if (PROGRAM === undefined) throw new Error('redis-server is not installed')
    const file = join(this.#folder, 'redis.conf')
    writeFileSync(file, this.#configuration().join('\n'))
    const child = spawn(...mortal(PROGRAM, [file, ...(this.#options.sentinel === true ? ['--sentinel'] : [])]), {
      cwd: this.#folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    await new Promise<void>((resolve, reject) => {
      let text = ''
      const ended = (): void => reject(new Error(`redis-server ended: ${text.slice(-1_000)}`))
      child.once('exit', ended)
      child.once('error', reject)
      child.stderr!.on('data', (chunk) => (text += String(chunk)))
      child.stdout!.on('data', (chunk) => {
        text += String(chunk)
        if (!/Ready to accept connections|Sentinel ID is|monitor master/.test(text)) return
        child.off('exit', ended)
        text = ''
        resolve()
      })
    })
  }

  /** It stands still, as a machine that swaps does: the kernel still accepts connections and bytes. */
  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }

  /** For `after` of a test. */
  async stop(): Promise<void> {
    this.#admin?.disconnect()
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #configuration(): string[] {
    const { password, tls, replicaOf, cluster, lines = [], sentinel = false } = this.#options
    const own = [`bind ${HOST}`, `dir ${this.#folder}`, 'daemonize no', 'protected-mode no', ...lines]
    if (sentinel) return [`port ${this.port}`, ...own]
    for (const [name, text] of Object.entries(tls ?? {})) writeFileSync(join(this.#folder, `${name}.pem`), text)
    return [
      ...own,
      'save ""',
      'appendonly no',
      ...(tls === undefined
        ? [`port ${this.port}`]
        : [
            'port 0',
            `tls-port ${this.port}`,
            'tls-cert-file cert.pem',
            'tls-key-file key.pem',
            'tls-ca-cert-file ca.pem',
            'tls-auth-clients no',
          ]),
      ...(password === undefined ? [] : [`requirepass ${password}`, `masterauth ${password}`]),
      ...(replicaOf === undefined ? [] : [`replicaof ${HOST} ${replicaOf}`]),
      ...(cluster === true
        ? ['cluster-enabled yes', 'cluster-config-file nodes.conf', 'cluster-node-timeout 1000']
        : []),
    ]
  }
}
