// The old prices, which nobody is to use any more.
exports.oldPrice = function oldPrice(article) {
  return article.length * 100;
};

exports.price = function price(article) {
  return article.length * 120;
};
