/** A quota that is used up: Node has no name for it. */
import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { describe, it } from 'node:test'
import { describeFileError } from '../../../src/lib/system-error.ts'
import { type DiskMessage, DiskReport, isNoRoom } from '../../../src/store/archive/disk-report.ts'

const errno = -constants.errno.EDQUOT
/** As Node 26 throws them on Linux, of btrfs with `btrfs qgroup limit`: of writeSync, and of openSync and renameSync. */
const QUOTA = [
  Object.assign(new Error('UNKNOWN: unknown error, write'), { code: 'UNKNOWN', errno, syscall: 'write' }),
  Object.assign(new Error(`Unknown system error ${errno}: Unknown system error ${errno}, open '/state/cache/a'`), {
    ...{ code: `Unknown system error ${errno}`, errno, syscall: 'open' },
  }),
] as const

describe('a quota that is used up', () => {
  for (const error of QUOTA) {
    it(`has room made by files that go, and is said with what to do: ${error.syscall}`, () => {
      assert.ok(isNoRoom(error))
      const told: (DiskMessage | undefined)[] = []
      const events = { failure: (message?: DiskMessage) => void told.push(message), unread: () => {} }
      const report = new DiskReport('/state/cache', events, () => 0)
      report.madeRoom(error)
      assert.equal(report.notWritten(error), 'refused')
      assert.deepEqual(
        told.map((message) => message?.makesRoom),
        [true, false],
      )
      for (const message of told) assert.match(message!.message, /^the quota .* is used up .*\/state\/cache; make room/)
      assert.match(describeFileError(error), /^the quota .* is used up/)
    })
  }

  it('is no other error that Node has no name for', () => {
    const other = Object.assign(new Error('UNKNOWN: unknown error, write'), { code: 'UNKNOWN', errno: -4094 })
    assert.equal(isNoRoom(other), false)
    assert.equal(describeFileError(other), other.message)
    assert.equal(describeFileError(Object.assign(new Error('x'), { code: 'ENOSPC', errno: -28 })), 'the disk is full')
    for (const none of [undefined, null, 'text']) assert.equal(describeFileError(none), String(none))
  })
})
