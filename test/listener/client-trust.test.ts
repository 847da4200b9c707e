/** Authorities and lists are read once after each change, however many hostnames use them in whatever combination. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { ClientTrusts } from '../../src/listener/client-trust.ts'
import { ContentStore } from '../../src/policy/contents.ts'
import { TestAuthority } from '../lib/certificates.ts'

const clients = new TestAuthority('Clients')

it('one bundle with different lists, and without any, is read once for each of them', () => {
  const contents = new ContentStore()
  const set = (id: string, text: string): void => contents.apply([{ id, bytes: Buffer.from(text) }])
  set('ca', clients.ca)
  set('one', clients.revoke([]))
  set('other', clients.revoke([clients.client('Bob')]))
  const problems: string[] = []
  const trusts = new ClientTrusts(contents, (message) => void problems.push(message))
  const all = [
    { mode: 'Require', ca: 'ca', crl: 'one' },
    { mode: 'Require', ca: 'ca', crl: 'other' },
    { mode: 'Require', ca: 'ca' },
  ] as const
  const first = all.map((options) => trusts.read(options))
  assert.equal(new Set(first.map(({ digest }) => digest)).size, 3)
  // A connection whose trust is another object is judged again.
  for (const [i, options] of all.entries()) assert.equal(trusts.read(options), first[i])
  set('one', clients.revoke([clients.client('Carol')]))
  assert.notEqual(trusts.read(all[0]), first[0])
  assert.equal(trusts.read(all[1]), first[1])
  assert.deepEqual(problems, [])
})
