import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { findHost, tlsOf } from '../../src/routing/find-host.ts'
import { FrontendHandle } from '../../src/snapshot/frontend-handle.ts'
import { hostOf } from '../../src/snapshot/host.ts'
import { certificateRef, type HostTls, httpModeOf } from '../../src/snapshot/host-tls.ts'
import { Packer, type PackResult } from '../../src/snapshot/pack.ts'
import { RouteTables } from '../../src/snapshot/route-tables.ts'
import type { Host, Snapshot } from '../../src/snapshot/snapshot.ts'
import { seededRandom } from '../fuzz/router.ts'
import { frontends, host, policy } from '../suite/router.ts'

function hostTls(key: string, more: Partial<HostTls> = {}): HostTls {
  const options = { key: 'o', minVersion: 'TLSv1.2' } as const
  return { key, namespace: 'ns', mode: 'Terminate', certificates: [], http: 'Redirect', options, ...more }
}

function withTls(hostname: string, tls: HostTls | undefined): Host {
  return { ...host(hostname, [{ name: 'r', matches: [{}] }]), tls }
}

function snapshotOf(hosts: readonly Host[]): Snapshot {
  return {
    frontends: new Map(['l1', 'l2'].map((name) => [name, { name }])),
    hosts: new Map(hosts.map((one) => [one.hostname, one])),
    policies: new Map([['p', policy('p')]]),
    backends: new Map(),
  }
}

/** As a worker: results applied one after the other. */
class Worker {
  tables: RouteTables | undefined
  #tls: (HostTls | null)[] = []

  take({ tables, hostTls: changes }: PackResult, full = false): RouteTables {
    this.#tls = full ? [] : this.#tls.slice()
    for (const { index, tls } of changes) this.#tls[index] = tls
    return (this.tables = new RouteTables(tables, this.tables, undefined, this.#tls))
  }
}

const on = new FrontendHandle('l1')

describe('TLS of packed hostnames', () => {
  it('is that of the hostname by which requests are routed', () => {
    const exact = hostTls('exact')
    const wild = hostTls('wild')
    const hosts = [withTls('shop.example', exact), withTls('*.example', wild), withTls('*', undefined)]
    const tables = new Worker().take(new Packer(seededRandom()).pack(snapshotOf(hosts)))
    assert.equal(tlsOf(tables, on, 'shop.example'), exact)
    assert.equal(tlsOf(tables, on, 'a.b.example'), wild)
    assert.equal(tlsOf(tables, on, 'example'), null)
    assert.equal(tlsOf(tables, on, 'else.test'), null)
  })

  it('is not that of a hostname which the frontend does not have', () => {
    const own = [{ name: 'r', matches: [{ frontends: frontends(2) }] }]
    const matches = host('shop.example', own).matches
    const strict = { ...hostOf('shop.example', matches, { common: false }), tls: hostTls('strict') }
    const wild = hostTls('wild')
    const hosts = [strict, withTls('*.example', wild)]
    const tables = new Worker().take(new Packer(seededRandom()).pack(snapshotOf(hosts)))
    assert.equal(tlsOf(tables, on, 'shop.example'), wild)
    assert.equal(tlsOf(tables, new FrontendHandle('l2'), 'shop.example'), strict.tls)
  })

  it('is stored once for all hostnames that have it, whatever comes and goes', () => {
    const kinds = ['a', 'b', 'c'].map((key) => hostTls(key))
    const change = fc.record({
      host: fc.integer({ min: 0, max: 5 }),
      tls: fc.option(fc.constantFrom(0, 1, 2)),
      there: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(fc.array(change, { minLength: 1, maxLength: 4 }), { maxLength: 12 }), (generations) => {
        const packer = new Packer(seededRandom())
        const worker = new Worker()
        const late = new Worker()
        const hosts = new Map<string, Host>()
        worker.take(packer.pack(snapshotOf([])))
        for (const changes of generations) {
          for (const { host: n, tls, there } of changes)
            if (there) hosts.set(`h${n}.example`, withTls(`h${n}.example`, tls === null ? undefined : kinds[tls]))
            else hosts.delete(`h${n}.example`)
          worker.take(packer.pack(snapshotOf([...hosts.values()])))
          const full = packer.full()!
          late.take(full, true)
          const distinct = new Set([...hosts.values()].map(({ tls }) => tls).filter((tls) => tls !== undefined))
          assert.deepEqual(new Set(full.hostTls.map(({ tls }) => tls)), distinct)
          for (let n = 0; n < 6; n++)
            for (const { tables } of [worker, late])
              assert.equal(tlsOf(tables!, on, `h${n}.example`), hosts.get(`h${n}.example`)?.tls ?? null)
        }
      }),
    )
  })

  it('survives a pack that is given up half-way', () => {
    const packer = new Packer(seededRandom())
    const worker = new Worker()
    const names = Array.from({ length: 40 }, (_, i) => `h${i}.example`)
    worker.take(packer.pack(snapshotOf(names.map((name) => withTls(name, hostTls('old'))))))
    const steps = packer.packSteps(snapshotOf(names.map((name) => withTls(name, hostTls('never')))))
    for (let i = 0; i < 25; i++) steps.next()
    steps.return(undefined as never)
    const now = hostTls('new')
    const tables = worker.take(packer.pack(snapshotOf(names.map((name) => withTls(name, now)))))
    for (const name of names) assert.equal(tlsOf(tables, on, name), now)
    assert.deepEqual(
      packer.full()!.hostTls.map(({ tls }) => tls?.key),
      ['new'],
    )
  })

  it('names the rule to which connections are passed through, on its frontends alone', () => {
    const { matches } = host('db.example', [
      { name: 'first', matches: [{ frontends: frontends(2) }] },
      { name: 'http', matches: [{}] },
    ])
    const rule = { ...matches[0]!.rule, rule: 'through', http: 'Closed' } as const
    const passed = hostOf('db.example', matches, {
      tls: hostTls('p', { mode: 'Passthrough' }),
      passthrough: { rule, frontends: frontends(2) },
    })
    const everywhere = hostOf('all.example', matches, {
      tls: hostTls('p', { mode: 'Passthrough' }),
      passthrough: { rule, frontends: undefined },
    })
    const tables = new Worker().take(new Packer(seededRandom()).pack(snapshotOf([passed, everywhere])))
    const ruleOn = (frontend: string, hostname: string) =>
      tables.passthroughRule(findHost(tables, tables.frontend(new FrontendHandle(frontend)), hostname)!)
    assert.deepEqual([ruleOn('l1', 'db.example'), ruleOn('l2', 'db.example')?.rule], [undefined, 'through'])
    assert.equal(ruleOn('l2', 'db.example')?.http, 'Closed')
    assert.deepEqual([ruleOn('l1', 'all.example')?.rule, ruleOn('l2', 'all.example')?.rule], ['through', 'through'])
  })
})

describe('what clear text gets', () => {
  const mine = 'ns/route'
  const theirs = 'nsx/route'
  const strict = { key: 'k', minVersion: 'TLSv1.2', clientCertificate: { mode: 'Require', ca: 'x' } } as const

  it('is what the hostname says, unless the rule says it otherwise', () => {
    assert.equal(httpModeOf(null, { route: mine }), 'Serve')
    assert.equal(httpModeOf(null, { route: mine, http: 'Redirect' }), 'Redirect')
    assert.equal(httpModeOf(hostTls('k'), { route: mine }), 'Redirect')
    assert.equal(httpModeOf(hostTls('k'), { route: mine, http: 'Serve' }), 'Serve')
    assert.equal(httpModeOf(hostTls('k', { http: 'Serve' }), { route: mine, http: 'Closed' }), 'Closed')
  })

  it('is never laxer by a rule of another namespace, which may be stricter', () => {
    assert.equal(httpModeOf(hostTls('k'), { route: theirs, http: 'Serve' }), 'Redirect')
    assert.equal(httpModeOf(hostTls('k', { http: 'Closed' }), { route: theirs, http: 'Redirect' }), 'Closed')
    assert.equal(httpModeOf(hostTls('k', { http: 'Serve' }), { route: theirs, http: 'Redirect' }), 'Redirect')
  })

  it('is never service where the hostname demands a client certificate', () => {
    const tls = hostTls('k', { http: 'Serve', options: strict })
    assert.equal(httpModeOf(tls, { route: mine }), 'Redirect')
    assert.equal(httpModeOf(tls, { route: mine, http: 'Serve' }), 'Redirect')
    assert.equal(httpModeOf(tls, { route: mine, http: 'Closed' }), 'Closed')
  })
})

describe('the contents of a certificate', () => {
  it('are others for each namespace that uses it, so that one can lose it alone', () => {
    const own = certificateRef('certs', 'wild')
    const shared = certificateRef('certs', 'wild', 'shop')
    assert.equal(own.secret, shared.secret)
    assert.equal(own.chain, 'Secret certs/wild tls.crt kubernetes.io/tls')
    assert.equal(shared.chain, 'Secret certs/wild tls.crt kubernetes.io/tls shop')
    assert.equal(new Set([own.chain, own.key, own.ocsp, shared.chain, shared.key, shared.ocsp]).size, 6)
  })
})
