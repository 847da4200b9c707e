import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { createAccessLogWriter } from '../../src/log/access-log-writer.ts'
import { LinePump } from '../../src/log/line-pump.ts'
import { type LineOutput, openOutput } from '../../src/log/output.ts'
import { LineRing, LineWriter } from '../../src/shared-memory/line-ring.ts'

/** An output under the test's control: how much it takes, and whether it fails. */
class Tap implements LineOutput {
  text = ''
  takes = Number.POSITIVE_INFINITY
  fails: string | undefined
  closed = false

  write(bytes: Buffer): number {
    if (this.fails !== undefined) throw Object.assign(new Error(this.fails), { code: this.fails })
    const taken = Math.min(this.takes, bytes.length)
    this.takes -= taken
    this.text += bytes.toString('latin1', 0, taken)
    return taken
  }

  writeNow(bytes: Buffer): number {
    return this.write(bytes)
  }

  close(): void {
    this.closed = true
  }
}

function nothingLost(lines: number): void {
  assert.fail(`${lines} lines lost`)
}

const folder = mkdtempSync(join(tmpdir(), 'headgate-log-'))
test.after(() => rmSync(folder, { recursive: true }))

suite('line pump', () => {
  test('lines of several rings reach the output unmixed and without a flush', async () => {
    const rings = [LineRing.create(8_192), LineRing.create(8_192)]
    const writers = rings.map((ring) => new LineWriter(ring))
    const tap = new Tap()
    const pump = new LinePump({ rings, out: tap, onDrop: nothingLost })
    await delay(60)
    const begun = performance.now()
    for (let n = 0; n < 40; n++) writers[n % 2]!.write(`line ${n} ${'x'.repeat(n)}`)
    while (tap.text.split('\n').length < 41) await delay(1)
    // A tenth of a second is promised; the machine may be busy.
    assert.ok(performance.now() - begun < 1_000)
    assert.deepEqual(
      tap.text.split('\n').slice(0, -1).sort(),
      Array.from({ length: 40 }, (_, n) => `line ${n} ${'x'.repeat(n)}`).sort(),
    )
    assert.equal(await pump.close(100), true)
    assert.equal(tap.closed, true)
  })

  test('an output that accepts part of a line receives its rest before any other line', async () => {
    const rings = [LineRing.create(8_192), LineRing.create(8_192)]
    const writers = rings.map((ring) => new LineWriter(ring))
    const tap = new Tap()
    const pump = new LinePump({ rings, out: tap, onDrop: nothingLost })
    for (let n = 0; n < 200; n++) {
      writers[0]!.write(`a${n}`)
      writers[1]!.write(`b${n}`)
      tap.takes = n % 7
      await pump.flush(0)
    }
    tap.takes = Number.POSITIVE_INFINITY
    assert.equal(await pump.flush(1_000), true)
    const seen = tap.text.split('\n').slice(0, -1)
    for (const source of ['a', 'b'])
      assert.deepEqual(
        seen.filter((line) => line.startsWith(source)),
        Array.from({ length: 200 }, (_, n) => `${source}${n}`),
      )
    assert.equal(seen.length, 400)
    await pump.close(0)
  })

  test('a new pump finishes the line that its predecessor had begun', async () => {
    const rings = [LineRing.create(8_192), LineRing.create(8_192)]
    const writers = rings.map((ring) => new LineWriter(ring))
    const tap = new Tap()
    writers[1]!.write('second ring')
    tap.takes = 6
    const first = new LinePump({ rings, out: tap, onDrop: nothingLost })
    await first.close(0)
    writers[0]!.write('first ring')
    tap.takes = Number.POSITIVE_INFINITY
    const second = new LinePump({ rings, out: tap, onDrop: nothingLost })
    await second.close(1_000)
    assert.equal(tap.text, 'second ring\nfirst ring\n')
  })

  test('a full disk drops only the lines that exceed the ring, and is reported once per failure and recovery', async () => {
    const ring = LineRing.create(4_096)
    const writer = new LineWriter(ring)
    const tap = new Tap()
    const told: string[] = []
    const pump = new LinePump({
      rings: [ring],
      out: tap,
      onDrop: (lines) => told.push(`${lines} lost`),
      onError: (error) => told.push(error.message),
    })
    tap.fails = 'ENOSPC'
    let kept = 0
    for (let n = 0; n < 100; n++) {
      if (writer.write('x'.repeat(99))) kept++
      if (n % 20 === 0) await pump.flush(0)
    }
    await pump.flush(150)
    assert.deepEqual(told, ['ENOSPC'])
    tap.fails = undefined
    assert.equal(await pump.flush(1_000), true)
    assert.deepEqual(told, ['ENOSPC', `${100 - kept} lost`])
    assert.equal(tap.text.length, kept * 100)
    tap.fails = 'EPIPE'
    writer.write('last')
    assert.equal(await pump.close(50), false)
    assert.deepEqual(told.slice(2), ['EPIPE'])
  })

  test('the next pump reports lines dropped while there was none', async () => {
    const ring = LineRing.create(4_096)
    const writer = new LineWriter(ring)
    await new LinePump({ rings: [ring], out: new Tap(), onDrop: nothingLost }).close(0)
    while (writer.write('x'.repeat(99)));
    const told: number[] = []
    const next = new LinePump({ rings: [ring], out: new Tap(), onDrop: (lines) => told.push(lines) })
    await next.close(1_000)
    assert.deepEqual(told, [1])
  })

  test('flushSync writes all lines before the thread ends by an error', async () => {
    const ring = LineRing.create(4_096)
    const tap = new Tap()
    const pump = new LinePump({ rings: [ring], out: tap, onDrop: nothingLost })
    new LineWriter(ring).write('last words')
    pump.flushSync(100)
    assert.equal(tap.text, 'last words\n')
    tap.takes = 3
    new LineWriter(ring).write('more')
    pump.flushSync(20)
    assert.equal(tap.text, 'last words\nmor')
    await pump.close(0)
  })

  test('an unread pipe blocks no thread, and loses nothing while the rings have room', async () => {
    const path = join(folder, 'pipe')
    execFileSync('mkfifo', [path])
    // Opened for both, so that the opening does not wait for the other side.
    const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
    const ring = LineRing.create(1 << 20)
    const writer = new LineWriter(ring)
    const pump = createAccessLogWriter({ rings: [ring], out: { fd }, onDrop: nothingLost })
    let written = ''
    for (let n = 0; n < 2_000; n++) {
      const line = `${n}`.padStart(200, '.')
      assert.ok(writer.write(line))
      written += `${line}\n`
    }
    const begun = performance.now()
    assert.equal(await pump.flush(50), false, 'a pipe holds 64 KiB')
    assert.ok(performance.now() - begun < 500)
    let read = ''
    const buffer = Buffer.alloc(1 << 16)
    while (read.length < written.length) {
      try {
        read += buffer.toString('latin1', 0, readSync(fd, buffer))
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN')
        await delay(1)
      }
    }
    assert.equal(read, written)
    await pump.close(100)
  })

  test('a descriptor that may block is written in the thread pool', async () => {
    // A socket cannot be opened anew without blocking.
    const script = `
      import { createAccessLogWriter } from ${JSON.stringify(import.meta.resolve('../../src/log/access-log-writer.ts'))}
      import { LineRing, LineWriter } from ${JSON.stringify(import.meta.resolve('../../src/shared-memory/line-ring.ts'))}
      const ring = LineRing.create()
      const pump = createAccessLogWriter({ rings: [ring], out: { fd: 3 }, onDrop() {} })
      const writer = new LineWriter(ring)
      for (let n = 0; n < 1000; n++) writer.write('line ' + n)
      process.exitCode = (await pump.close(5000)) ? 0 : 1
    `
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
    })
    let text = ''
    child.stdio[3]?.on('data', (chunk: Buffer) => {
      text += chunk
    })
    const [code] = await once(child, 'close')
    assert.equal(code, 0)
    assert.equal(text, Array.from({ length: 1_000 }, (_, n) => `line ${n}\n`).join(''))
  })

  test('a file is appended to, and readable for its owner and group only', async () => {
    const path = join(folder, 'access.log')
    for (const line of ['one', 'two']) {
      const ring = LineRing.create(4_096)
      const pump = createAccessLogWriter({ rings: [ring], out: { path }, onDrop: nothingLost })
      new LineWriter(ring).write(line)
      assert.equal(await pump.close(1_000), true)
    }
    assert.equal(readFileSync(path, 'utf8'), 'one\ntwo\n')
    assert.throws(() => openOutput({ path: join(folder, 'missing', 'log') }), { code: 'ENOENT' })
  })

  test('writers terminated at any point lose no line; at most the pending bytes are repeated', async () => {
    const path = join(folder, 'stress.log')
    const rings = [LineRing.create(65_536), LineRing.create(65_536)]
    const writers = rings.map((ring) => new LineWriter(ring))
    const written = [0, 0]
    const lives = 8
    const write = () => {
      for (const ring of [0, 1])
        for (let i = 0; i < 20; i++) {
          const n = written[ring]!
          if (!writers[ring]!.writeAscii(JSON.stringify({ ring, n, pad: 'p'.repeat(n % 90) }))) return
          written[ring] = n + 1
        }
    }
    let pump: Worker | undefined
    for (let life = 0; life < lives; life++) {
      await pump?.terminate()
      pump = new Worker(new URL('pump-thread.ts', import.meta.url), { workerData: { rings, path } })
      await once(pump, 'online')
      const until = performance.now() + 60 + Math.random() * 60
      while (performance.now() < until) {
        write()
        await delay(1)
      }
    }
    pump!.postMessage('close')
    assert.deepEqual(await once(pump!, 'message'), [true])
    await pump!.terminate()

    const seen = [new Set<number>(), new Set<number>()]
    let broken = 0
    for (const line of readFileSync(path, 'utf8').split('\n').slice(0, -1)) {
      try {
        const { ring, n, pad } = JSON.parse(line)
        assert.equal(pad.length, n % 90)
        seen[ring]!.add(n)
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error
        broken++
      }
    }
    assert.deepEqual(
      seen.map((set) => set.size),
      written,
      'every line is there',
    )
    assert.ok(written[0]! > 500)
    assert.ok(broken < lives * 2, `${broken} broken lines`)
  })
})
