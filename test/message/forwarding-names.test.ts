import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parseFields } from '../../src/http/head.ts'
import { Fields } from '../../src/message/fields.ts'
import { forwardingKindAt, IDENTITY, NOT_FORWARDING, PROXY_ONLY, RESTATED } from '../../src/message/forwarding-names.ts'

const NAMES = {
  [RESTATED]: [
    'forwarded',
    'x-forwarded',
    ...['for', 'proto', 'protocol', 'scheme', 'ssl', 'host', 'port'].map((member) => `x-forwarded-${member}`),
    ...['x-real-ip', 'x-client-ip', 'x-cluster-client-ip', 'x-scheme', 'x-url-scheme', 'front-end-https'],
  ],
  [PROXY_ONLY]: [
    ...['user', 'email', 'groups', 'client-cert', 'prefix', 'server', 'uri', 'method', 'for-x', ''].map(
      (member) => `x-forwarded-${member}`,
    ),
    ...['x-original-url', 'x-original-host', 'x-original-forwarded-for', 'x-rewrite-url'],
  ],
  [IDENTITY]: [
    ...['', '-', '-subject', '-san', '-fingerprint', '-anything'].map((member) => `x-client-cert${member}`),
    ...['client-cert', 'client-cert-chain'],
  ],
  [NOT_FORWARDING]: [
    ...['x-forwarder', 'x-forwardedfor', 'forwarded-for', 'x-originally', 'x-original', 'x-real-ips', 'x', 'f', 'from'],
    ...['x-request-id', 'host', 'accept', 'x-user', 'real-ip', 'xx-forwarded-for', 'x-client-certs', 'client-certs'],
  ],
} as const

const KINDS = [NOT_FORWARDING, RESTATED, PROXY_ONLY, IDENTITY] as const

function parsed(name: string): Fields {
  const fields = new Fields()
  const bytes = Buffer.from(`${name}: 1\r\n\r\n`, 'latin1')
  const refuse = (_: string, detail: string): never => assert.fail(detail)
  parseFields({ fields, refuse }, bytes, 0, bytes.length, 0, { head: 10_000, headers: 100, uri: 0 })
  return fields
}

describe('the name of a forwarding field', () => {
  for (const kind of KINDS)
    for (const name of NAMES[kind])
      it(`${JSON.stringify(name)} is of kind ${kind} in every spelling`, () => {
        for (const spelling of [name, name.toUpperCase(), name.replaceAll('-', '_'), name.replace('-', '_')]) {
          assert.equal(forwardingKindAt(parsed(spelling), 0), kind, spelling)
        }
      })

  it('is what a reading of its text says', () => {
    const part = fc.constantFrom(
      'x',
      '-',
      '_',
      'forwarded',
      'original',
      'For',
      'USER',
      'real',
      'ip',
      'client',
      'f',
      '~',
    )
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), (parts) => {
        const name = parts.join('')
        const plain = name.toLowerCase().replaceAll(/[_~]/g, '-')
        const restated = (NAMES[RESTATED] as readonly string[]).includes(plain)
        const family = /^x-(?:forwarded|original)-|^x-rewrite-url$/.test(plain)
        const expected = restated ? RESTATED : family ? PROXY_ONLY : NOT_FORWARDING
        assert.equal(forwardingKindAt(parsed(name), 0), expected, name)
      }),
      { numRuns: 2_000 },
    )
  })
})
