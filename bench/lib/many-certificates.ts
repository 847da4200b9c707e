/** What thousands of certificates cost: the time until a gateway is ready, its memory, and a handshake. */
import { compare, type Plan, type Scenario } from './compare.ts'
import { residentKiB } from './cpu-time.ts'
import type { LoadResult } from './load.ts'
import { runClient } from './load-client.ts'
import {
  type Backends,
  type PemPair,
  type ProtocolServer,
  pemPair,
  protocolManifests,
  resource,
  secret,
  startTlsHeadgate,
} from './protocol-servers.ts'
import type { Gateway } from './servers.ts'

export interface CertificateFigures {
  readonly certificates: number
  /** Milliseconds. */
  readonly readyAfter: number
  readonly residentKiB: number
  /** Microseconds of processor time. */
  readonly handshake: number
}

export interface CertificateComparison {
  readonly many: CertificateFigures
  /** The same Routes, all with the default certificate. */
  readonly one: CertificateFigures
  readonly handshakeRatio: number
}

const PER_FILE = 250
const hostOf = (i: number): string => `h${i}.certificates.example`

function manifests(backends: Backends, count: number, own: boolean): Record<string, string> {
  const files = protocolManifests(backends)
  for (let from = 0; from < count; from += PER_FILE) {
    let text = ''
    for (let i = from; i < Math.min(count, from + PER_FILE); i++)
      text += hosted(i, own ? pemPair(hostOf(i)) : undefined)
    files[`hosts-${from}.yaml`] = text
  }
  return files
}

function hosted(i: number, pair: PemPair | undefined): string {
  const tls = pair === undefined ? {} : { tls: { certificates: [{ secretName: `c${i}` }], http: 'Serve' } }
  const rules = [{ name: 'all', backendRefs: [{ name: 'origin' }] }]
  const route = resource('Route', `h${i}`, { hostnames: [hostOf(i)], ...tls, rules })
  return pair === undefined ? route : route + secret(`c${i}`, pair)
}

export async function compareCertificates(
  scratch: string,
  cpus: { readonly proxy: number | undefined; readonly load: number | undefined },
  backends: Backends,
  { count, ...plan }: Plan & { readonly count: number },
): Promise<CertificateComparison> {
  const [one, many] = [
    await startTlsHeadgate(scratch, cpus.proxy, manifests(backends, count, false), 'one-certificate'),
    await startTlsHeadgate(scratch, cpus.proxy, manifests(backends, count, true), 'many-certificates'),
  ]
  try {
    const resident = [many, one].map(({ pid }) => residentKiB(pid)) as [number, number]
    const hosts = Array.from({ length: Math.min(count, 200) }, (_, i) => hostOf(Math.floor((i * count) / 200)))
    const scenario: Scenario<ProtocolServer> = {
      name: 'certificates',
      shows: '',
      run: (server, seconds) =>
        runClient<LoadResult>('handshake-load', cpus.load, {
          port: server.tlsPort,
          hosts,
          seconds,
          lanes: 8,
          resume: false,
        }),
    }
    const { figures, ratios } = await compare(scenario, [many, one], plan)
    const told = (gateway: Gateway, i: 0 | 1): CertificateFigures => ({
      certificates: i === 0 ? count : 1,
      readyAfter: gateway.readyAfter,
      residentKiB: resident[i],
      handshake: figures[i]!.cpuPerRequest,
    })
    return { many: told(many, 0), one: told(one, 1), handshakeRatio: ratios[0]!.cpu }
  } finally {
    await Promise.all([one.stop(), many.stop()])
  }
}
