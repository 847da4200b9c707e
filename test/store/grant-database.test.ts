import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, describe, it } from 'node:test'
import { type GrantRequest, hasRoom } from '../../src/auth/grant-store.ts'
import { GrantDatabase } from '../../src/store/grant-database.ts'
import { DAY, describeGrantStore, GRANT, newFamily, OWNER, rotation } from '../suite/grant-store.ts'
import { clientOf } from './grant-rig.ts'

const root = mkdtempSync(join(tmpdir(), 'headgate-grants-'))
after(() => rmSync(root, { recursive: true, force: true }))

const monotonic = (): number => performance.now()

function open(stateDirectory: string | undefined, wall: () => number = Date.now, clock = monotonic) {
  const failures: (string | undefined)[] = []
  const options = { stateDirectory, wall, monotonic: clock, failure: (one: string | undefined) => failures.push(one) }
  return { database: new GrantDatabase(options), failures }
}

const inMemory = open(undefined).database
describeGrantStore('in memory', () => [clientOf(inMemory), clientOf(inMemory)])

const [first, second] = [open(join(root, 'shared')).database, open(join(root, 'shared')).database]
describeGrantStore('in a file that two processes have', () => [clientOf(first), clientOf(second)])

const begin = (family: string, given: Partial<Extract<GrantRequest, { call: 'begin' }>> = {}): GrantRequest => ({
  ...{ call: 'begin', owner: OWNER, family, grant: GRANT, digest: 'one', life: DAY },
  ...given,
})
const find = (family: string): GrantRequest => ({ call: 'find', owner: OWNER, family })
const answerOf = (database: GrantDatabase, request: GrantRequest): unknown => {
  const [answer] = database.run([request])
  assert.ok(answer !== undefined && 'value' in answer, JSON.stringify(answer))
  return answer.value
}

describe('the embedded store', () => {
  it('lets go of what has ended and of nothing else, and gives a token no more than its time', () => {
    const time = { now: 1_000 }
    const { database } = open(undefined, () => time.now)
    const [short, long] = [newFamily(), newFamily()]
    database.run([begin(short, { life: 10 }), begin(long, { life: 1_000 })])
    database.run([{ call: 'mark', owner: OWNER, mark: 'm', client: 'c', life: 10 }])
    time.now += 10
    assert.deepEqual(
      database
        .run([find(short), find(long), { call: 'isMarked', owner: OWNER, mark: 'm' }])
        .map((one) => ('value' in one ? one.value !== undefined && one.value !== false : one)),
      [false, true, false],
    )
    const late = { call: 'rotate', owner: OWNER, rotation: rotation(short, {}) } as const
    assert.deepEqual(answerOf(database, late), { outcome: 'missing' })
    assert.equal(answerOf(database, { call: 'mark', owner: OWNER, mark: 'm', client: 'c', life: 10 }), 'first')
  })

  it('gives a token that has a successor its grace by the clock, and none by a clock that was set back', () => {
    for (const [step, outcome] of [
      [10, 'repeated'],
      [11, 'reused'],
      [-1, 'reused'],
    ] as const) {
      const time = { now: 1_000 }
      const { database } = open(undefined, () => time.now)
      const family = newFamily()
      const request = { call: 'rotate', owner: OWNER, rotation: rotation(family, { grace: 10 }) } as const
      database.run([begin(family), request])
      time.now += step
      assert.equal((answerOf(database, request) as { outcome: string }).outcome, outcome, `${step}`)
    }
  })

  it('has bounds: a client, a namespace and all, and the last quarter is for namespaces with little', () => {
    const bounds = { namespace: 100_000, all: 400_000 }
    assert.equal(hasRoom(0, 0, bounds), true)
    assert.equal(hasRoom(99_999, 99_999, bounds), true)
    assert.equal(hasRoom(100_000, 100_000, bounds), false)
    assert.equal(hasRoom(300_000, 10_000, bounds), false)
    assert.equal(hasRoom(300_000, 9_999, bounds), true)
    assert.equal(hasRoom(400_000, 0, bounds), false)
    const few = { families: { client: 50, namespace: 60, all: 400 }, marks: { client: 2, namespace: 3, all: 9 } }
    const database = new GrantDatabase({
      ...{ stateDirectory: undefined, wall: Date.now, monotonic },
      ...{ failure: assert.fail, bounds: few },
    })
    const many = Array.from({ length: 50 }, () => begin(newFamily()))
    assert.ok(database.run(many).every((one) => 'value' in one && one.value === true))
    const [mine, theirs] = database.run([
      begin(newFamily()),
      begin(newFamily(), { grant: { ...GRANT, client: 'other' } }),
    ])
    assert.deepEqual([mine, theirs], [{ value: false }, { value: true }])
    const mark = (client: string) => (name: string) =>
      answerOf(database, { call: 'mark', owner: OWNER, mark: name, client, life: DAY })
    assert.deepEqual(['a', 'b', 'c', 'a'].map(mark('one')), ['first', 'first', 'full', 'again'])
    // Another client has a place of its own, and nobody uses what somebody else has used.
    assert.deepEqual(['a', 'c', 'd'].map(mark('other')), ['again', 'first', 'full'])
    // One that is revoked makes room.
    database.run([{ call: 'revoke', owner: OWNER, family: (many[0] as { family: string }).family }])
    assert.equal(answerOf(database, begin(newFamily())), true)
  })

  it('is a file for nobody else, which has no token in it', () => {
    const directory = join(root, 'private')
    const { database } = open(directory)
    database.run([begin(newFamily())])
    assert.equal(statSync(join(directory, 'grants.db')).mode & 0o777, 0o600)
    database.close()
  })

  it('goes on with a file of the version before, and forgets nothing that was used', () => {
    const directory = join(root, 'older')
    mkdirSync(directory)
    const older = new DatabaseSync(join(directory, 'grants.db'))
    older.exec(`CREATE TABLE mark (owner TEXT NOT NULL, mark TEXT NOT NULL, ends REAL NOT NULL, PRIMARY KEY (owner, mark))
      STRICT, WITHOUT ROWID; PRAGMA user_version = 1`)
    older
      .prepare('INSERT INTO mark VALUES (?, ?, ?)')
      .run(`${OWNER.namespace} ${OWNER.issuer}`, 'used', Date.now() + DAY)
    older.close()
    for (const outcome of ['first', 'again']) {
      const { database } = open(directory)
      assert.equal(answerOf(database, { call: 'mark', owner: OWNER, mark: 'used', client: 'c', life: DAY }), 'again')
      assert.equal(answerOf(database, { call: 'mark', owner: OWNER, mark: 'new', client: 'c', life: DAY }), outcome)
      database.close()
    }
  })

  it('finds after kill -9 what it has answered before', { timeout: 30_000 }, async () => {
    const directory = join(root, 'killed')
    const family = newFamily()
    const script = `
      import { GrantDatabase } from ${JSON.stringify(new URL('../../src/store/grant-database.ts', import.meta.url).href)}
      const database = new GrantDatabase({ stateDirectory: ${JSON.stringify(directory)}, wall: Date.now, monotonic: () => performance.now(), failure: console.error })
      database.run(${JSON.stringify([begin(family)])})
      const requests = ${JSON.stringify([{ call: 'rotate', owner: OWNER, rotation: rotation(family, {}) }])}
      console.log(JSON.stringify(database.run(requests)))
      setInterval(() => {}, 1_000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [said] = (await once(child.stdout, 'data')) as [Buffer]
    assert.deepEqual(JSON.parse(said.toString()), [{ value: { outcome: 'rotated', nonce: 'n1' } }])
    child.kill('SIGKILL')
    await once(child, 'exit')
    const { database } = open(directory)
    assert.equal((answerOf(database, find(family)) as { current: string }).current, 'two')
    const again = { call: 'rotate', owner: OWNER, rotation: rotation(family, {}) } as const
    assert.deepEqual(answerOf(database, again), { outcome: 'repeated', nonce: 'n1' })
    database.close()
  })

  it('says that it cannot be used, answers nothing in that time, and goes on when it can, whatever the clock says', () => {
    const directory = join(root, 'blocked')
    writeFileSync(directory, '')
    const time = { now: 1_000, wall: 1_800_000_000_000 }
    const { database, failures } = open(
      directory,
      () => time.wall,
      () => time.now,
    )
    const family = newFamily()
    assert.ok('failure' in database.run([begin(family)])[0]!)
    assert.match(failures[0] ?? '', /grants\.db cannot be used .*: refresh tokens and assertions are answered with 503/)
    rmSync(directory)
    // It is not tried again at once.
    assert.ok('failure' in database.run([begin(family)])[0]!)
    time.now += 1_000
    time.wall -= 365 * DAY
    assert.equal(answerOf(database, begin(family)), true)
    assert.equal(failures.at(-1), undefined)
    database.close()
  })

  it('sets a file aside that is none of its own, and says what is lost by it', () => {
    const directory = join(root, 'corrupt')
    mkdirSync(directory)
    writeFileSync(join(directory, 'grants.db'), 'x'.repeat(8_192))
    const time = { now: 1_000 }
    const { database, failures } = open(directory, Date.now, () => time.now)
    assert.ok('failure' in database.run([find('f')])[0]!)
    assert.match(failures[0] ?? '', /set aside as grants\.db\.corrupt; refresh tokens of before are not valid any more/)
    time.now += 1_000
    assert.equal(answerOf(database, find('f')), undefined)
    statSync(join(directory, 'grants.db.corrupt'))
    database.close()
  })

  it('makes calls that come together one step: all or none', () => {
    const { database } = open(undefined)
    const family = newFamily()
    database.run([begin(family)])
    // The same family cannot be begun twice, so nothing of this happens.
    const [one, two] = database.run([
      { call: 'revoke', owner: OWNER, family },
      begin(newFamily()),
      begin('x'),
      begin('x'),
    ])
    assert.ok('failure' in one! && 'failure' in two!)
  })
})
