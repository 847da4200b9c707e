import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { PayloadSummary, SecretSummary } from '../../src/compile/resource-set.ts'
import { settingsSecretFaults } from '../../src/compile/settings-secrets.ts'
import { world } from './world.ts'

const settings = {
  tls: {
    defaultCertificate: { secretName: 'default', namespace: 'certs' },
    sessionTicketKey: { secretName: 'tickets', namespace: 'certs' },
  },
}
const secret = (type: string, keys: string[], summary: SecretSummary): PayloadSummary => ({
  type,
  keys: new Set(keys),
  refused: new Map(),
  secret: summary,
})
const certificate = (tls: SecretSummary) => secret('kubernetes.io/tls', ['tls.crt', 'tls.key'], tls)
const tickets = secret('headgate.dev/session-ticket-key', ['key'], { validity: 'Valid' })

suite('Secrets that the settings name', () => {
  const faults = (payloads: Record<string, PayloadSummary>) => settingsSecretFaults(world({ settings, payloads }))

  test('may be of any namespace, and are well', () => {
    const payloads = { 'Secret certs/default': certificate({ validity: 'Valid' }), 'Secret certs/tickets': tickets }
    assert.deepEqual(faults(payloads), [])
    assert.deepEqual(settingsSecretFaults(world({})), [])
  })

  test('are told of where they are missing, of another type, broken, or near their end', () => {
    assert.deepEqual(faults({}), [
      'tls.defaultCertificate.secretName: there is no Secret certs/default that may be read; create it, or correct the name',
      'tls.sessionTicketKey.secretName: there is no Secret certs/tickets that may be read; create it, or correct the name',
    ])
    const of = (tls: SecretSummary) =>
      faults({ 'Secret certs/default': certificate(tls), 'Secret certs/tickets': tickets })
    assert.match(of({ fault: 'it is half' })[0]!, /defaultCertificate.*cannot be used: it is half$/)
    const end = { notAfter: Date.UTC(2027, 0, 1) }
    assert.match(
      of({ validity: 'Expired', ...end })[0]!,
      /the certificate in Secret certs\/default ended on 2027-01-01T00:00:00Z; renew it$/,
    )
    assert.match(of({ validity: 'ExpiresSoon', ...end })[0]!, /ends on 2027/)
    const swapped = faults({
      'Secret certs/default': tickets,
      'Secret certs/tickets': certificate({ validity: 'Valid' }),
    })
    assert.equal(swapped.filter((text) => text.includes('only one of type')).length, 2)
  })
})
