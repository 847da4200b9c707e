/** Chains of clients judged again, in steps that are short however long the lists are. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { makeRevocationList, toPem } from '../../src/tls/certificate-maker.ts'
import { ChainJudge } from '../../src/tls/client-chain.ts'
import { TestAuthority } from '../lib/certificates.ts'

const root = new TestAuthority('Root')
const between = new TestAuthority('Between', root)
const alice = root.client('Alice')
const bob = between.client('Bob')

function judge(ca: string, crl: string): ChainJudge {
  const made = new ChainJudge(ca, crl)
  while (!made.ready) made.prepare()
  return made
}

describe('the judge of chains', () => {
  it('reads a long list in many steps', () => {
    const serials = Array.from({ length: 20_000 }, (_, i) => Buffer.from([1, i >> 8, i & 255]))
    const thisUpdate = new Date(Date.now() - 60_000)
    const list = {
      serials: [...serials, alice.serial],
      thisUpdate,
      nextUpdate: new Date(Date.now() + 60_000),
      number: 1,
    }
    const made = new ChainJudge(root.ca, toPem('X509 CRL', makeRevocationList(list, root.issuer)))
    let steps = 0
    for (; !made.ready; steps++) made.prepare()
    assert.ok(steps > 20_000 / 512, `${steps} steps`)
    assert.equal(made.accepts([alice.x509]), false)
    assert.equal(made.accepts([root.client('Carol').x509]), true)
  })

  it('asks the list of each authority on the way to the root', () => {
    const ca = root.ca + between.ca
    assert.equal(judge(ca, '').accepts([bob.x509]), true)
    assert.equal(judge(ca, root.revoke([]) + between.revoke([])).accepts([bob.x509]), true)
    assert.equal(judge(ca, root.revoke([])).accepts([bob.x509]), false, 'an authority without a list')
    assert.equal(judge(ca, root.revoke([]) + between.revoke([bob])).accepts([bob.x509]), false)
    assert.equal(judge(between.ca, '').accepts([bob.x509]), false, 'no root')
    assert.equal(judge(new TestAuthority('Root').ca, '').accepts([alice.x509]), false, 'another of the same name')
  })
})
