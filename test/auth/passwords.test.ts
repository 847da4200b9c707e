/** Hashes of passwords: against those of other programs, and what is refused before anybody computes with it. */
import assert from 'node:assert/strict'
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

const PASSWORDS = ['secret', 'a', 'x'.repeat(15), 'y'.repeat(16), 'z'.repeat(17), 'pässwörd €', 'l'.repeat(130)]
/** Of these, by `openssl passwd -apr1`, `-5` and `-6` with a short salt and a long one. */
const OPENSSL: readonly (readonly string[])[] = [
  [
    '$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/',
    '$apr1$abcdefgh$G8IsPsylW5ROvIKsQMRG61',
    '$apr1$abcdefgh$Br58S.zIPGCRGGlG3cb.4/',
    '$apr1$abcdefgh$EjYdytV4kj6AOtusWhk6k0',
    '$apr1$abcdefgh$pG.ZqXRIH0e3eUBnzWQDs.',
    '$apr1$abcdefgh$jeWGxyr/9Pjks2tAXDZ9m.',
    '$apr1$abcdefgh$V4iVmPB090RuyCwSwrWx1/',
  ],
  [
    '$apr1$a$PtM1vJaZieHDFk40mKMu6/',
    '$apr1$a$drFGR/9p/sjZ9/qPTUuIf/',
    '$apr1$a$clapIxWNRn9KnQfoSRIMe.',
    '$apr1$a$nGvDBz5uXBDlxfCEPMnHh.',
    '$apr1$a$fp6qaYX24vah/rXECY.B..',
    '$apr1$a$k1CM2bPWEEMYXiPml31mU/',
    '$apr1$a$9l0hhDcXrI8uJy7Zh.j73/',
  ],
  [
    '$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.',
    '$5$abcdefgh$GzAL/HPD/MYJIjVUUnvBTiqueLrt/LVxJEZtz0qaNX2',
    '$5$abcdefgh$HWEr5qTjdcyKRHbDkmUmtLxVi12qod47yTJmx0krCED',
    '$5$abcdefgh$2q2DQltmsnNKykib2TsOfbU4uy0aWzVzuoNJ5bViHX7',
    '$5$abcdefgh$dR5wtbLlCpXyklSij0WWxIAJtAUQZYnN/1.nsnz9voA',
    '$5$abcdefgh$w1KXHy5H3BkpsDA1e52X3ijnTt7sEpmaeH8rMWfTMq6',
    '$5$abcdefgh$MEDcV7Ve8fOYaQxN1vcKg58j6eIp3VqbIIM4ufE9IWA',
  ],
  [
    '$5$sixteencharacter$BYS4Z4qxMjgABDYht8R3ZlLveERHzFUcyP/lPy4FqA8',
    '$5$sixteencharacter$bdPWB1eC6oudkvBvnk1XP/fUx9o5LUnJPGDg/uBSrr3',
    '$5$sixteencharacter$SofUd1YXZlkxl3cS3K9fAEzkHloso942NPKDbjGD39C',
    '$5$sixteencharacter$kOotIIgED5te8y47PnrKpZxq/PX23WMLmRyWzgjggg3',
    '$5$sixteencharacter$6cTdrxfOqNm7k7tPOnB1/Z2wB.88SMQxYXJ1c7rt3XD',
    '$5$sixteencharacter$gM0qxRe4xOYE5mZfNiM/WYdys6xkG4lU6uSGA4NmJ1B',
    '$5$sixteencharacter$drvxaoOGt2e5OQfKZfjHo2d3MObvyI8ADLZVhEuoeO3',
  ],
  [
    '$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.',
    '$6$abcdefgh$GjMgmmowSihU3X8xhdMxaCaEziO5NUh/IZqYnnZhN1j7.JYnm2e5BnPfWNUdj17OlEroBdrPtMnfsmwWCrkw70',
    '$6$abcdefgh$bNIn86F.v9mCFSXqAm8f.Fe7pepNgfqE2XKsMsZZFHD99poJx9IQH1ibE8LA.DjxWYB1/ayERvMJ4IBXGn9A1.',
    '$6$abcdefgh$rd7FQBjTvLJBXHfovtmlD394gWsvshe7GWwieGENkF67KAvEH7mJH8N1lLqq3I5QWDuPhRPQQqFd/szzQZtJ.1',
    '$6$abcdefgh$bUSr9.9.tWSf8OWSfqHOwjhWBYZcthv85YnVKFcBkypBvEuHO3HfWxIAwvBBeuBS6qYE4sPy7kBXgbinmSOQ5/',
    '$6$abcdefgh$ukjo4gbinoS4RD2G1CHAnKDCIPmonMGDTVKQ17kRezBLS52GZ0XmcSL2y5cBPtbLlSC2QP11ZYdtfviBHJm800',
    '$6$abcdefgh$7AHk9VuJkS/81SNt7cvJoWpwsjmpr4oJgP..mt9/Rg6ASXtQf7dUxJ4SOc7jiKwgJZi6jLXse03FcWPqQLcZQ0',
  ],
  [
    '$6$sixteencharacter$.hU9.3VPbHQ7tTBC.s/Ozqr3/cG/ZtOHQBP0I0zH4/4YGooMK6japfPlUWgdc9yYof30bbH6PkSrKPh2U/TUK.',
    '$6$sixteencharacter$T0PdyOgF61EPCZn/Ma3Vii67pweA70KYagPI1aaC8zylNpNuFwMUd/9LHc6lKlo6bjUQIv8eG1CgRShqsSdlq/',
    '$6$sixteencharacter$7M1ApAU2RqrhB7LqJ16kstZPZCy1vQG0T2ICrShMSLEXIimQFFZglHJ2lbYAcwmhvG2.qpR/nWK4Ll8ti7wsk.',
    '$6$sixteencharacter$c1wbQx6P61fcomsQuz5MAebNUfDUasf1dC/Nbiu/MwZaTf3w63DDzEarlz9cSwWjRU8Wi1vaw5vXLvQPHUEAg.',
    '$6$sixteencharacter$gwxpWuG7RhdrwuCgRy8WZF4sGYKXPDq8wSEelVtDg3n9E0L6F1HfKcwS3q2VSrOvXkSKYnuCbkj6EAZqAI6zr/',
    '$6$sixteencharacter$ARKR8Q8pHChZCwh4RFsor2X36i39HRxb5ogdJXaRitmrht3eGN22wXgx450qhhDT29ZMrZopRetKNMrRbgMNB1',
    '$6$sixteencharacter$E2fwmyvj1r3VODiPiyroSKCu57E0.Du8IUsleEgMUjx6SDi/J/AqRGOpG4IjLNZmIlKkp/65uTj/bZZTZxu0a.',
  ],
]

describe('a hash of a password', () => {
  it('is what openssl makes, in each of its forms', () => {
    for (const hashes of OPENSSL)
      for (const [i, hash] of hashes.entries()) {
        assert.ok(checkPassword(hash, PASSWORDS[i]!), hash)
        assert.ok(!checkPassword(hash, `${PASSWORDS[i]}x`))
        assert.ok(!checkPassword(hash, PASSWORDS[(i + 1) % PASSWORDS.length]!))
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
