import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { createLogger, type LogFormat, type Logger, logFormat } from '../../src/log/process-log.ts'
import { isSecretName, REDACTED, redact } from '../../src/log/redact.ts'

function logger(format: LogFormat, level: 'info' | 'debug' = 'info'): { log: Logger; lines: string[] } {
  const lines: string[] = []
  const log = createLogger({ level, format, thread: 'control', write: (line) => lines.push(line) })
  return { log, lines }
}

const SECRET = 'hunter2-and-more'

suite('process log', () => {
  test('a line of JSON contains level, time, thread and message', () => {
    const { log, lines } = logger('json')
    log.info({ routes: 3 }, 'compiled')
    log.debug('not shown')
    assert.equal(lines.length, 1)
    const { time, ...line } = JSON.parse(lines[0]!)
    assert.deepEqual(line, { level: 'info', thread: 'control', routes: 3, message: 'compiled' })
    assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  })

  test('an error keeps its type, stack, cause and own members', () => {
    const { log, lines } = logger('json')
    const cause = new TypeError('no such file')
    log.error(Object.assign(new Error('cannot read', { cause }), { code: 'ENOENT' }))
    log.error({ error: new RangeError('too far') }, 'failed')
    const [first, second] = lines.map((line) => JSON.parse(line))
    assert.equal(first.message, 'cannot read')
    assert.equal(first.error.code, 'ENOENT')
    assert.match(first.error.stack, /process-log\.test/)
    assert.equal(first.error.cause.type, 'TypeError')
    assert.equal(second.message, 'failed')
    assert.equal(second.error.type, 'RangeError')
  })

  test('credentials are redacted in any position', () => {
    for (const format of ['json', 'text'] as const) {
      const { log, lines } = logger(format)
      log.info({ password: SECRET, nested: { deep: [{ Authorization: `Bearer ${SECRET}` }] } }, 'object')
      log.info({ headers: new Map([['set-cookie', SECRET]]), url: `https://user:${SECRET}@host/` }, 'map and URL')
      log.info(`with Bearer ${SECRET}`)
      log.info('with %s', `Basic ${SECRET}`)
      log.child({ clientSecret: SECRET }).warn('bindings of a child')
      log.error(Object.assign(new Error(`Bearer ${SECRET}`), { token: SECRET, config: { apiKey: SECRET } }))
      log.error({ error: new Error('outer', { cause: new Error(`redis://:${SECRET}@redis:6379 refused`) }) }, 'cause')
      log.info({ kind: 'Secret', data: { tls: SECRET }, stringData: { a: SECRET } }, 'an object as it came')
      log.info({ pem: `-----BEGIN EC PRIVATE KEY-----\n${SECRET}\n-----END EC PRIVATE KEY-----` }, 'key')
      assert.equal(lines.length, 9)
      for (const line of lines) {
        assert.equal(line.includes(SECRET), false, line)
        assert.ok(line.includes('redacted]'), line)
      }
    }
  })

  test('names of credentials are detected in every spelling, and other names are not', () => {
    for (const name of [
      'password',
      'Set-Cookie',
      'client_secret',
      'clientSecret',
      'X-API-Key',
      'AUTHORIZATION',
      'access_token',
    ])
      assert.equal(isSecretName(name), true, name)
    for (const name of ['secretName', 'tokenFile', 'host', 'route', 'passive', 'keys'])
      assert.equal(isSecretName(name), false, name)
  })

  test('any value becomes one bounded line, without a secret at any depth', () => {
    const circle: Record<string, unknown> = { big: 1n, date: new Date(0), bytes: Buffer.from('x'), set: new Set([1]) }
    circle.self = circle
    const { log, lines } = logger('json')
    log.info({ circle, long: 'x'.repeat(1e6), many: Array.from({ length: 1e4 }, (_, i) => i) }, 'odd')
    assert.ok(lines[0]!.length < 50_000, `${lines[0]!.length}`)
    fc.assert(
      fc.property(fc.object({ withBigInt: true, withDate: true, withMap: true, withSet: true }), (value) => {
        const text = JSON.stringify(redact({ a: value, token: value }))
        assert.equal(JSON.parse(text).token, REDACTED)
      }),
    )
  })

  test('text has one line per message, and cannot move the cursor or forge a line', () => {
    const { log, lines } = logger('text')
    log.warn({ host: 'shop.example.com', note: 'two words', n: 3, list: [1] }, 'conflict')
    assert.match(
      lines[0]!,
      /^\d\d:\d\d:\d\d\.\d{3} WARN {2}control {2}conflict host=shop\.example\.com note="two words" n=3 list=\[1\]$/,
    )
    log.info({ 'a\nb': '\x1b[2J', c: '\u2028\x9b' }, 'evil\n00:00:00.000 INFO  main      forged')
    log.error(new Error('first\u001b[31m\nsecond'))
    for (const line of lines) assert.doesNotMatch(line, /[^\n -~]/)
    assert.equal(lines[1]!.includes('\n'), false)
    for (const below of lines[2]!.split('\n').slice(1)) assert.match(below, /^ {4}/)
  })

  test('the default format is text for terminals, else JSON', () => {
    assert.equal(logFormat(undefined, { isTTY: true }), 'text')
    assert.equal(logFormat(undefined, {}), 'json')
    assert.equal(logFormat('json', { isTTY: true }), 'json')
    assert.equal(logFormat('text', { isTTY: false }), 'text')
  })

  test('the main thread writes the lines of every thread, including the last lines of a dead one', async () => {
    const script = `
      import { Worker } from 'node:worker_threads'
      import { createProcessLogWriter, createThreadLogger, PROCESS_LOG_RING_BYTES }
        from ${JSON.stringify(import.meta.resolve('../../src/log/process-log.ts'))}
      import { LineRing } from ${JSON.stringify(import.meta.resolve('../../src/shared-memory/line-ring.ts'))}
      const rings = [0, 1, 2].map(() => LineRing.create(PROCESS_LOG_RING_BYTES))
      const pump = createProcessLogWriter(rings, () => {})
      const log = createThreadLogger(rings[0], { level: 'info', format: 'json', thread: 'main' })
      log.info('begins')
      const code = \`
        import { workerData } from 'node:worker_threads'
        import(workerData.module).then(({ createThreadLogger }) => {
          const log = createThreadLogger(workerData.ring, { level: 'info', format: 'json', thread: workerData.thread })
          for (let n = 0; n < 50; n++) log.info({ n }, 'line')
          log.fatal('last words')
          process.exit(1)
        })\`
      const module = ${JSON.stringify(import.meta.resolve('../../src/log/process-log.ts'))}
      await Promise.all([1, 2].map((i) => new Promise((resolve) =>
        new Worker(code, { eval: true, workerData: { module, ring: rings[i], thread: 'worker-' + i } }).on('exit', resolve))))
      log.error('ends')
      pump.flushSync(1000)
      process.kill(process.pid, 'SIGKILL')
    `
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'inherit', 'pipe'],
    })
    let text = ''
    child.stderr.on('data', (chunk: Buffer) => {
      text += chunk
    })
    await once(child, 'close')
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    for (const thread of ['worker-1', 'worker-2']) {
      const own = lines.filter((line) => line.thread === thread)
      assert.deepEqual(
        own.map((line) => line.n ?? line.message),
        [...Array.from({ length: 50 }, (_, n) => n), 'last words'],
      )
    }
  })
})
