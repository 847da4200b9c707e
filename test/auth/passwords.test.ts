/** Hashes of passwords: against those of other programs, and what is refused before anybody computes with it. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { argon2Sync, scryptSync } from 'node:crypto'
import { describe, it } from 'node:test'
import bcrypt from 'bcryptjs'
import fc from 'fast-check'
import { checkPassword } from '../../src/auth/check-password.ts'
import { parseUsers, readUsers, type UsersFault, writeUsers } from '../../src/auth/htpasswd.ts'
import { parsePasswordHash } from '../../src/auth/password-hash.ts'

const unpadded = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64').replaceAll('=', '')
const SALT = Buffer.from('0123456789abcdef')
const SALT_TEXT = unpadded(SALT)

function argon2(form: 'argon2id' | 'argon2i', password: string, memory = 1_024, passes = 1): string {
  const tag = argon2Sync(form, { message: password, nonce: SALT, memory, passes, parallelism: 1, tagLength: 32 })
  return `$${form}$v=19$m=${memory},t=${passes},p=1$${SALT_TEXT}$${unpadded(tag)}`
}

function scrypt(password: string, ln = 10): string {
  const key = scryptSync(password, SALT, 32, { cost: 2 ** ln, blockSize: 8, parallelization: 1 })
  return `$scrypt$ln=${ln},r=8,p=1$${SALT_TEXT}$${unpadded(key)}`
}

describe('a hash of a password', () => {
  it('is what openssl makes, in each of its forms', () => {
    const passwords = ['secret', 'a', 'x'.repeat(15), 'y'.repeat(16), 'z'.repeat(17), 'pässwörd €', 'l'.repeat(130)]
    for (const [form, salts] of [
      ['-apr1', ['abcdefgh', 'a']],
      ['-5', ['abcdefgh', 'sixteencharacter']],
      ['-6', ['abcdefgh', 'sixteencharacter']],
    ] as const)
      for (const salt of salts) {
        const text = execFileSync('openssl', ['passwd', form, '-salt', salt, '-stdin'], {
          input: passwords.map((password) => `${password}\n`).join(''),
          encoding: 'utf8',
        })
        for (const [i, hash] of text.trim().split('\n').entries()) {
          assert.ok(checkPassword(hash, passwords[i]!), `${form} ${passwords[i]}`)
          assert.ok(!checkPassword(hash, `${passwords[i]}x`))
          assert.ok(!checkPassword(hash, passwords[(i + 1) % passwords.length]!))
        }
      }
  })

  it('is checked in the other forms, and only by its own password', () => {
    for (const hash of [
      bcrypt.hashSync('secret', 5),
      bcrypt.hashSync('secret', 5).replace('$2b$', '$2y$'),
      scrypt('secret'),
      argon2('argon2id', 'secret'),
      argon2('argon2i', 'secret'),
    ]) {
      assert.ok(checkPassword(hash, 'secret'), hash)
      for (const wrong of ['', 'Secret', 'secret ', 'secre']) assert.ok(!checkPassword(hash, wrong), hash)
    }
    // bcrypt looks at 72 bytes: what is longer would have many passwords.
    const long = 'x'.repeat(72)
    assert.ok(checkPassword(bcrypt.hashSync(long, 5), long))
    assert.ok(!checkPassword(bcrypt.hashSync(long, 5), `${long}y`))
    // Of crypt_blowfish.
    assert.ok(checkPassword('$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'U*U'))
  })

  it('is refused where it is weak, costs too much, or is none, and never throws', () => {
    const fault = (text: string): string | undefined => {
      const parsed = parsePasswordHash(text)
      return 'fault' in parsed ? parsed.fault : undefined
    }
    const bcryptOf = (cost: string) => `$2y$${cost}$${'a'.repeat(53)}`
    assert.equal(fault(bcryptOf('10')), undefined)
    for (const [text, why] of [
      ['secret', /no hash of a known form/],
      ['', /no hash of a known form/],
      ['rl.3StKT.4T8M', /no hash of a known form/],
      ['{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=', /plain SHA digest/],
      ['{SSHA}xxxx', /plain SHA digest/],
      [bcryptOf('04'), /cost of bcrypt/],
      [bcryptOf('31'), /cost of bcrypt/],
      [`$2x$10$${'a'.repeat(53)}`, /malformed/],
      ['$2y$10$short', /malformed/],
      ['$apr1$$x', /malformed/],
      ['$6$rounds=999999999$salt$'.padEnd(111, 'a'), /rounds/],
      ['$6$rounds=10$salt$'.padEnd(104, 'a'), /rounds/],
      [`$5$salt$${'a'.repeat(86)}`, /malformed/],
      [`$scrypt$ln=40,r=8,p=1$${SALT_TEXT}$${SALT_TEXT}`, /memory/],
      [`$scrypt$ln=15,r=8,p=99$${SALT_TEXT}$${SALT_TEXT}`, /works through/],
      [`$scrypt$ln=4,r=1,p=1$${SALT_TEXT}$${SALT_TEXT}`, /weak/],
      [`$scrypt$ln=14,r=8,p=0$${SALT_TEXT}$${SALT_TEXT}`, /p=0/],
      [`$argon2id$v=19$m=4194304,t=1,p=1$${SALT_TEXT}$${SALT_TEXT}`, /memory/],
      [`$argon2id$v=19$m=65536,t=999999,p=1$${SALT_TEXT}$${SALT_TEXT}`, /works through/],
      [`$argon2id$v=19$m=65536,t=1,p=1$YWJj$${SALT_TEXT}`, /salt/],
      [`$argon2id$v=19$m=65536,t=1,p=1$${SALT_TEXT}$YWJj`, /digest/],
      [`$argon2id$v=16$m=65536,t=1,p=1$${SALT_TEXT}$${SALT_TEXT}`, /malformed/],
      [`$argon2id$v=19$m=65536,t=0,p=1$${SALT_TEXT}$${SALT_TEXT}`, /t=0/],
    ] as const) {
      assert.match(fault(text) ?? 'accepted', why, text)
      assert.equal(checkPassword(text, 'secret'), false)
    }
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 80 }), (text) => void parsePasswordHash(text)),
      { numRuns: 500, seed: 53 },
    )
  })
})

describe('a file of htpasswd', () => {
  const fault = (text: string) => (parseUsers(text) as UsersFault).fault
  const hash = `$2y$10$${'a'.repeat(53)}`

  it('has a user in each line, with notes for people between them', () => {
    const users = parseUsers(`# staff\r\nalice:${hash}\n\nzoë:${hash}  \n`)
    assert.deepEqual(
      users,
      new Map([
        ['alice', hash],
        ['zoë', hash],
      ]),
    )
    assert.deepEqual(readUsers(writeUsers(users as ReadonlyMap<string, string>)), users)
  })

  it('is refused whole, by the line and without what stands in it', () => {
    for (const [text, why] of [
      ['', /has no user/],
      ['alice', /line 1 has no name and colon/],
      [`:${hash}`, /line 1 has no name/],
      [`a:${hash}\nalice:secret`, /line 2 has no hash of a known form/],
      [`a:${hash}\na:${hash}`, /line 2 has a name that stands in a line before/],
      [`a\u0007:${hash}`, /line 1 has a name/],
      [`${'a'.repeat(257)}:${hash}`, /line 1 has a name/],
      [Array.from({ length: 10_001 }, (_, i) => `u${i}:${hash}`).join('\n'), /more than 10000 users/],
    ] as const) {
      assert.match(fault(text), why)
      assert.doesNotMatch(fault(text), /secret|aaaa/)
    }
  })
})
