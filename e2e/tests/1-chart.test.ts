/**
 * What the chart renders, for every entry of the matrix of test/chart, before a real API server. Nothing of it is
 * stored.
 */
process.env.HEADGATE_CHART_SERVER = '1'
await import('../../test/chart/server.test.ts')
