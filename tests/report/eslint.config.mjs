// The rules for the report's script: only mistakes, and globals that exist.
const globals = ['document', 'location', 'history', 'navigator', 'setTimeout', 'addEventListener', 'URL', 'Blob', 'TextDecoder', 'atob', 'btoa'];

export default [
  {
    languageOptions: {ecmaVersion: 2024, sourceType: 'script', globals: Object.fromEntries(globals.map((name) => [name, 'readonly']))},
    rules: {
      'no-undef': 'error',
      'no-unused-vars': 'error',
      'no-shadow': 'error',
      'no-unreachable': 'error',
      'no-dupe-keys': 'error',
      'no-fallthrough': 'error',
      'prefer-const': 'error',
      'no-var': 'error',
      eqeqeq: 'error',
      'no-eval': 'error',
      'no-implied-eval': 'error',
      'no-restricted-properties': ['error', {property: 'innerHTML'}, {property: 'outerHTML'}, {property: 'insertAdjacentHTML'}],
    },
  },
];
