import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ObjectLog } from '../../../src/control/status/object-log.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'

function log() {
  const time = new VirtualTime()
  const lines: string[] = []
  const one = new ObjectLog({ time: time.keeper(), write: (level, message) => lines.push(`${level} ${message}`) })
  return { time, lines, one }
}

describe('the log of objects', () => {
  it('writes at once, in order, as long as there is not much', () => {
    const { lines, one } = log()
    for (let i = 0; i < 150; i++) one.write('shop', 'warn', `${i}`)
    assert.deepEqual(
      lines,
      Array.from({ length: 150 }, (_, i) => `warn ${i}`),
    )
  })

  it('lets each namespace have its turn beside thousands of lines of another, and counts what it leaves out', async () => {
    const { time, lines, one } = log()
    for (let i = 0; i < 5_000; i++) one.write('noisy', 'warn', `noisy ${i}`)
    assert.equal(lines.length, 200)
    for (let i = 0; i < 50; i++) one.write('calm', 'warn', `calm ${i}`)
    await time.pass(50)
    assert.ok(lines.includes('warn calm 0'))
    await time.pass(30_000)
    assert.equal(lines.filter((line) => line.startsWith('warn calm')).length, 50)
    assert.equal(lines.filter((line) => line.startsWith('warn noisy')).length, 200 + 450)
    assert.equal(
      lines.filter((line) => line.includes('more lines')).join(),
      'warn 4350 more lines about objects of namespace noisy are left out: /api/v1/problems shows all',
    )
    assert.equal(time.pending, 0)
  })

  it('is bounded however many namespaces there are', async () => {
    const { time, lines, one } = log()
    for (let i = 0; i < 3_000; i++) one.write(`n${i}`, 'error', 'x')
    await time.pass(60_000)
    assert.equal(lines.filter((line) => line === 'error x').length, 700)
    assert.match(lines.find((line) => line.includes('more lines'))!, /and 2299 other namespaces are left out/)
  })

  it('writes what waits before it stops', () => {
    const { time, lines, one } = log()
    for (let i = 0; i < 300; i++) one.write('shop', 'info', `${i}`)
    one.stop()
    assert.equal(lines.length, 300)
    assert.equal(time.pending, 0)
  })
})
