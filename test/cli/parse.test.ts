import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { formatAddress, parseAddress } from '../../src/cli/listen-address.ts'
import { COMMAND_NAMES, type Command, parseCommand, type RunCommand } from '../../src/cli/parse.ts'

const parse = (line: string): Command => parseCommand(line.split(' ').filter((word) => word !== ''))
const run = (line: string): RunCommand => {
  const command = parse(`run --config dir ${line}`)
  assert.equal(command.name, 'run', JSON.stringify(command))
  return command as RunCommand
}
const refusal = (line: string): string => {
  const command = parse(line)
  assert.equal(command.name, 'usage', JSON.stringify(command))
  return command.name === 'usage' ? command.message : ''
}

describe('the command line', () => {
  it('selects a cluster or a folder, never both', () => {
    const source = (...argv: string[]) => {
      const command = parseCommand(['run', ...argv])
      return command.name === 'run' ? command.source : command.name
    }
    assert.deepEqual(source('--kubernetes'), { type: 'kubernetes' })
    assert.deepEqual(source('--kubeconfig', 'k', '--context', 'c'), {
      type: 'kubernetes',
      kubeconfig: 'k',
      context: 'c',
    })
    assert.equal(source('--kubernetes', '--config', 'dir'), 'usage')
    assert.equal(source('--kubernetes=yes'), 'usage')
  })

  it('has defaults for everything but the folder', () => {
    assert.deepEqual(parse('run --config dir'), {
      name: 'run',
      source: { type: 'folder', folder: 'dir' },
      overrides: [],
      workers: 0,
      logLevel: 'info',
      logFormat: 'json',
      drainDelay: 1_000,
      drainTimeout: 30_000,
    })
    assert.match(refusal('run'), /headgate run --config DIR/)
    assert.equal(parse('run dir').name, 'run')
  })

  it('converts flags into settings with their origin', () => {
    assert.deepEqual(
      run('--http 127.0.0.1:80 --admin [::1]:81 --signals :82 --state=/s --zone a --replica 2/5 --access-log off')
        .overrides,
      [
        { flag: '--http 127.0.0.1:80', path: ['listeners', 'http', 'port'], value: 80 },
        { flag: '--http 127.0.0.1:80', path: ['listeners', 'http', 'address'], value: '127.0.0.1' },
        { flag: '--admin [::1]:81', path: ['admin', 'address'], value: '[::1]:81' },
        { flag: '--signals :82', path: ['signals', 'address'], value: ':82' },
        { flag: '--state /s', path: ['stateDirectory'], value: '/s' },
        { flag: '--zone a', path: ['topology', 'zone'], value: 'a' },
        { flag: '--replica 2/5', path: ['topology', 'replica', 'number'], value: 2 },
        { flag: '--replica 2/5', path: ['topology', 'replica', 'of'], value: 5 },
        { flag: '--access-log off', path: ['accessLog', 'sample'], value: 0 },
      ],
    )
  })

  it('parses durations as in manifests', () => {
    const { drainDelay, drainTimeout } = run('--drain-delay 250ms --drain-timeout 1m30s')
    assert.deepEqual([drainDelay, drainTimeout], [250, 90_000])
    assert.equal(run('--drain-delay 0').drainDelay, 0)
    for (const wrong of ['5', '1 day', '-5s', '1.5s', '5s1m', '99d'])
      assert.match(refusal(`run --config d --drain-delay=${wrong.replace(' ', '_')}`), /--drain-delay/)
  })

  it('parses the paths to validate and the output format', () => {
    assert.deepEqual(parse('validate a b.yaml -o json --settings s.yaml'), {
      name: 'validate',
      paths: ['a', 'b.yaml'],
      settings: 's.yaml',
      output: 'json',
    })
    assert.match(refusal('validate'), /DIR or FILE/)
    assert.match(refusal('validate a -o jsn'), /text, json; did you mean "json"\?/)
  })

  for (const [line, message] of [
    ['rnu', /no command "rnu"; did you mean "run"\? See headgate help\.$/],
    ['serve', /no command "serve"\. See/],
    ['--config x', /A command comes first.*headgate run --config x/],
    ['run --confg x', /no flag --confg; did you mean "--config"\? See headgate run --help\.$/],
    ['run -x', /no flag -x/],
    ['run --config', /--config needs a value/],
    ['run --config --http :80', /needs a value; "--http" looks like the next flag/],
    ['run --config a --config b', /given twice/],
    ['run --config a b', /Two folders/],
    ['run a b', /remove "b"/],
    ['run --config d --workers many', /whole number from 0 to 256/],
    ['run --config d --workers -1', /--workers/],
    ['run --config d --http nohost:80', /"nohost" is not an IP address.*127\.0\.0\.1:8080/],
    ['run --config d --http ::1:80', /brackets/],
    ['run --config d --http :70000', /0 to 65535/],
    ['run --config d --access-log yes', /on, off/],
    ['run --config d --replica 0/3', /such as 2\/5/],
    ['run --config d --replica 4/3', /such as 2\/5/],
    ['run --config d --replica 1', /such as 2\/5/],
    ['run --config d --log-level loud', /trace, debug, info/],
    ['config x', /accepts flags only/],
    ['help rum', /did you mean "run"\?/],
  ] as const)
    it(`says what to do about: headgate ${line}`, () => assert.match(refusal(line), message))

  it('shows help for `--help` in any position, even with errors', () => {
    assert.deepEqual(parse(''), { name: 'help' })
    for (const name of COMMAND_NAMES) {
      assert.deepEqual(parse(`${name} --help`), { name: 'help', topic: name })
      assert.deepEqual(parse(`${name} -h`), { name: 'help', topic: name })
    }
    assert.deepEqual(parse('help run'), { name: 'help', topic: 'run' })
  })

  it('never throws for any arguments', () => {
    const word = fc.oneof(
      fc.constantFrom(...COMMAND_NAMES, '--config', '-o', '--', '-', '--http=', '--help=x', '-oh', '--no-config'),
      fc.string(),
    )
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), (argv) => {
        assert.ok(parseCommand(argv).name.length > 0)
      }),
    )
  })
})

describe('an address to listen on', () => {
  for (const [text, address, port] of [
    ['127.0.0.1:8080', '127.0.0.1', 8080],
    ['[::1]:8080', '::1', 8080],
    [':8080', undefined, 8080],
    ['*:8080', undefined, 8080],
    ['8080', undefined, 8080],
    ['localhost:0', '127.0.0.1', 0],
  ] as const)
    it(`may be ${text}`, () => {
      assert.deepEqual(parseAddress(text), { ...(address === undefined ? {} : { address }), port })
    })

  it('is formatted as it is parsed', () => {
    const address = fc.option(fc.oneof(fc.ipV4(), fc.ipV6()), { nil: undefined })
    fc.assert(
      fc.property(address, fc.nat(65_535), (address, port) => {
        const listen = address === undefined ? { port } : { address, port }
        assert.deepEqual(parseAddress(formatAddress(listen)), listen)
      }),
    )
  })
})
